package probes

import (
	"slices"
	"strings"
)

// schemeAliases maps schemes that drivers, frameworks and apps use to the scheme of usher for
// the same protocol. Some rows name who uses the scheme.
var schemeAliases = map[string]string{
	"mariadb":         "mysql",    // SQLAlchemy, MariaDB's drivers
	"mysql2":          "mysql",    // Rails, Node
	"trilogy":         "mysql",    // Rails
	"mysqli":          "mysql",    // PHP
	"pdo-mysql":       "mysql",    // Doctrine
	"mysql-connector": "mysql",    // Django
	"mysqlgis":        "mysql",    // Django
	"pgsql":           "postgres", // PHP
	"pdo-pgsql":       "postgres", // Doctrine
	"psql":            "postgres", // Django
	"postgis":         "postgres", // Django, Rails
	"timescale":       "postgres", // Django
	"cockroach":       "postgres", // Django
	"cockroachdb":     "postgres", // SQLAlchemy, Rails
	"pyamqp":          "amqp",     // Celery
	"memcache":        "memcached",
	"valkey":          "redis",
	"valkeys":         "rediss",
	"redis+socket":    "redis", // Celery
	"redis+unix":      "redis",
	"redis-socket":    "redis", // Lettuce
}

// hasNoDefaultPort reports whether a URL with this scheme must name a port, because clients do
// not agree on a default. CockroachDB listens on 26257, but its clients are those of
// PostgreSQL, and many of them use 5432.
func hasNoDefaultPort(scheme string) bool { return strings.HasPrefix(scheme, "cockroach") }

// isSocketScheme reports whether the URLs of a scheme have the path of a unix socket in place
// of a host.
func isSocketScheme(scheme string) bool {
	return slices.Contains([]string{"redis+socket", "redis+unix", "redis-socket"}, scheme)
}

// sqlKinds are the kinds whose scheme may be followed by the name of a driver, as in
// postgresql+asyncpg://, or follow jdbc: or r2dbc:, as in jdbc:postgresql://.
var sqlKinds = []string{"postgres", "postgresql", "mysql"}

// driverWrappers are the names of JDBC and R2DBC drivers that wrap another driver, as in
// jdbc:aws-wrapper:mysql://. The wrappers for JDBC are those of Amazon RDS, OpenTelemetry and
// P6Spy. The wrappers for R2DBC are pool and proxy.
var driverWrappers = []string{"aws-wrapper", "otel", "p6spy", "pool", "proxy"}

// cutJava removes the prefix jdbc:, r2dbc: or r2dbcs: from a URL or scheme in lower case.
func cutJava(url string) (rest string, found bool) {
	before, rest, _ := strings.Cut(url, ":")
	if before == "jdbc" || before == "r2dbc" || before == "r2dbcs" {
		return rest, true
	}
	return url, false
}

// findScheme returns the kind of target that a scheme stands for. The scheme must be in lower
// case. It may be an alias (see schemeAliases), end with the name of a driver, as in
// postgresql+asyncpg, or begin with jdbc:, r2dbc: or r2dbcs:.
func findScheme(scheme string) (kind, bool) {
	if isScheme(scheme) {
		return findKind(scheme)
	}
	if alias, ok := schemeAliases[scheme]; ok {
		return findKind(alias)
	}
	base, _, driver := strings.Cut(scheme, "+")
	rest, java := cutJava(scheme)
	if java {
		// In jdbc:mysql:loadbalance:// the word loadbalance says how the driver uses several
		// hosts, so it is ignored. In jdbc:aws-wrapper:mysql:// the driver aws-wrapper wraps the
		// driver mysql, which gives the kind.
		var inner string
		if base, inner, _ = strings.Cut(rest, ":"); slices.Contains(driverWrappers, base) {
			base = inner
		}
	}
	if alias, ok := schemeAliases[base]; ok {
		base = alias
	}
	if (driver || java) && !slices.Contains(sqlKinds, base) || !isScheme(base) {
		return kind{}, false
	}
	return findKind(base)
}

// otherServers lists schemes that occur in the URLs of apps but are unknown to usher, with
// advice on what to write instead. In the advice HOST, PORT and PATH are placeholders.
// otherServers is a slice, because a map would be built each time usher starts.
var otherServers = []struct {
	schemes []string
	advice  string
}{
	{[]string{"mssql", "mssqlms", "sqlserver", "sqlsrv", "pdo-sqlsrv", "jtds"}, "write tcp://HOST:1433, or a command such as sqlcmd"},
	{[]string{"oracle", "oraclegis", "oci8", "pdo-oci"}, "write tcp://HOST:1521, or a command such as sqlplus"},
	{[]string{"db2", "ibm-db2"}, "write tcp://HOST:50000"},
	{[]string{"redshift"}, "write postgres://HOST:5439"},
	{[]string{"sqlite", "sqlite3", "pdo-sqlite", "spatialite", "duckdb"},
		"the database is a file, and needs no wait; if another process makes it, write file:///PATH"},
	{[]string{"h2", "hsqldb", "derby"}, "the database is a part of the app, and needs no wait; for a server write tcp://HOST:PORT"},
	{[]string{"redis-sentinel", "redis+sentinel", "rediss-sentinel", "rediss+sentinel", "sentinel"},
		"write redis://HOST:26379, which is ready when that Sentinel answers"},
	{[]string{"redis-cluster", "redis+cluster"}, "write redis://HOST"},
	{[]string{"clickhouse", "clickhousedb", "ch"}, "write http://HOST:8123/ping"},
	{[]string{"elasticsearch", "opensearch"}, "write http://HOST:9200/_cluster/health"},
	{[]string{"cassandra", "scylla"}, "write tcp://HOST:9042"},
	{[]string{"neo4j", "bolt"}, "write tcp://HOST:7687, or http://HOST:7474"},
	{[]string{"influxdb"}, "write http://HOST:8086/health"},
	{[]string{"etcd"}, "write http://HOST:2379/health"},
	{[]string{"zookeeper", "zk"}, "write send=srvr expect=^Zookeeper tcp://HOST:2181"},
	{[]string{"plaintext", "sasl_plaintext"}, "write kafka://HOST:PORT"}, // as in listeners=PLAINTEXT://:9092 of Kafka
	{[]string{"sasl_ssl"}, "write kafka+ssl://HOST:PORT"},
	{[]string{"rabbitmq"}, "write amqp://HOST"},
	{[]string{"stomp"}, "write tcp://HOST:61613"},
	{[]string{"pulsar"}, "write tcp://HOST:6650"},
	{[]string{"ldap"}, "write tcp://HOST:389"},
	{[]string{"ldaps"}, "write tcp://HOST:636"},
	{[]string{"smtp"}, "write expect=^220 tcp://HOST:25"},
	{[]string{"smtps"}, "write tcp://HOST:465"},
	{[]string{"ftp"}, "write expect=^220 tcp://HOST:21"},
	{[]string{"ssh", "sftp"}, "write expect=^SSH tcp://HOST:22"},
	{[]string{"ws", "wss"}, "write http://HOST/PATH with a path for health checks, or tcp://HOST:PORT"},
	{[]string{"tls", "ssl"}, "write the scheme of the server, such as mqtts://HOST or rediss://HOST, or tcp://HOST:PORT"},
}

var schemeName = lazyRegexp(`^(?i:(?:jdbc|r2dbcs?):)?([A-Za-z][A-Za-z0-9+_.-]*):`)

// adviceFor returns the advice of otherServers for the scheme of a URL, or "" if otherServers
// does not contain the scheme. The returned scheme is an entry of otherServers and not other
// text of the URL, so it is safe to print.
func adviceFor(url string) (scheme, advice string) {
	m := schemeName().FindStringSubmatch(url)
	if m == nil {
		return "", ""
	}
	name := strings.ToLower(m[1])
	base, _, _ := strings.Cut(name, "+")
	for _, scheme := range []string{name, base} {
		for _, server := range otherServers {
			if slices.Contains(server.schemes, scheme) {
				return scheme, server.advice
			}
		}
	}
	return "", ""
}
