package probes

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A serverHost is one of the hosts in the URL or the SRV record of a server, or a unix
// socket.
type serverHost struct {
	label  string // the host as errors show it; "": errors do not show it
	host   string
	port   uint16
	socket string // the path of the socket; "" for a host
	name   string // the name that the certificate must be for, if it is not host
}

// isHidden reports whether the host is not shown in names and errors.
func (h serverHost) isHidden() bool { return h.label == "" }

// A serverURL holds the parts of the app's connection URL, without the password before the
// @.
type serverURL struct {
	user  string // with its %-escapes
	hosts string // the part between the user and the path: HOST[:PORT], separated by commas
	path  string // with its %-escapes and its leading /
	query url.Values
}

// parseServerURL splits the app's connection URL. It also accepts a URL that violates RFC
// 3986 if drivers accept it and it can be read in only one way.
func (p *targetParser) parseServerURL() (u serverURL) {
	authority, rest := p.splitAuthority()
	jdbc := strings.HasPrefix(p.written, "jdbc:")
	switch before, _, _ := strings.Cut(rest, "?"); {
	case !strings.Contains(rest, "@"):
	case jdbc && !strings.Contains(before, "@"):
		// JDBC drivers end the authority at the first / or ?. So an @ after the ? is part of the
		// query, for example of password=.
	case isUserWithPassword(authority, rest):
		// libpq and SQLAlchemy accept ? and # in a password. SQLAlchemy also accepts /. So the
		// text is split again, from the @ on.
		at := strings.IndexByte(p.rest, '@')
		user, _, _ := strings.Cut(authority, ":")
		authority, rest = splitAuthority(p.rest[at:])
		authority = user + authority
	default:
		p.addError("%s:// with an @ after the host: write %%40, and in a user or password %%2F %%3F %%23 for / ? #", p.scheme)
	}
	if jdbc {
		authority, _, _ = strings.Cut(authority, ";")
	}
	at := strings.LastIndexByte(authority, '@')
	u.user, _, _ = strings.Cut(authority[:max(at, 0)], ":")
	u.hosts = authority[at+1:]
	rest, _, _ = strings.Cut(rest, "#")
	path, query, _ := strings.Cut(rest, "?")
	if jdbc {
		path, _, _ = strings.Cut(path, ";")
	}
	u.path = path
	u.query, _ = url.ParseQuery(query) // an invalid parameter is ignored
	if strings.HasPrefix(p.written, "r2dbcs:") && !u.query.Has("ssl") {
		u.query.Set("ssl", "true") // in R2DBC the prefix r2dbcs: means ssl=true
	}
	return u
}

// isUserWithPassword reports whether splitAuthority has split the URL inside a password,
// because the password contains a /, ? or #. authority is then USER: and the beginning of
// the password, and rest begins with the remainder of the password and an @.
//
// isUserWithPassword returns false if the text might also be HOST:PORT with an @ in its path
// or query. The text after that @ might be secret, and the caller would take it for the
// host, which errors and logs show.
func isUserWithPassword(authority, rest string) bool {
	user, begin, _ := strings.Cut(authority, ":")
	password, _, _ := strings.Cut(rest, "@")
	_, query, _ := strings.Cut(password, "?")
	return user != "" && strings.Trim(begin, "0123456789") != "" &&
		!strings.ContainsAny(authority, "@[") && strings.Count(rest, "@") == 1 && !strings.Contains(query, "=")
}

// joinURLs turns nats://A,nats://B into nats://A,B, because clients of some servers take a
// list of URLs. Celery separates them by semicolons. joinURLs drops the users, paths and queries of
// all URLs but the first.
func (p *targetParser) joinURLs() {
	separator := "," + p.written + "://"
	first, more, found := strings.Cut(strings.ReplaceAll(p.rest, ";"+separator[1:], separator), separator)
	if !found {
		return
	}
	hosts, path := splitAuthority(first)
	if strings.Contains(path, "@") { // splitAuthority has split a password that contains a /, ? or #
		hosts, path = first, ""
	}
	for _, next := range strings.Split(more, separator) {
		authority, rest := splitAuthority(next)
		hosts += "," + authority[strings.LastIndexByte(authority, '@')+1:]
		if strings.Contains(rest, "@") {
			path += rest // parseServerURL reports the @ as an error
		}
	}
	p.rest = hosts + path
}

// parseHosts parses a list of HOST[:PORT], separated by commas. For MongoDB an element may also
// be the path of a socket, with each / written as %2F.
func (p *targetParser) parseHosts(list string, defaultPort uint16) (hosts []serverHost) {
	for _, text := range strings.Split(list, ",") {
		if p.target.Kind == "mongodb" && len(text) > 3 && strings.EqualFold(text[:3], "%2f") {
			hosts = append(hosts, p.newSocket(unescapeIfValid(text)))
			continue
		}
		h := serverHost{label: text}
		if p.hidesHosts {
			h.label = ""
		}
		h.host, h.port = p.parseHostPort(text, defaultPort)
		hosts = append(hosts, h)
	}
	return hosts
}

// newSocket returns the serverHost for a unix socket. It reports an error if path is too long
// or contains a NUL byte.
func (p *targetParser) newSocket(path string) serverHost {
	if len(path) > maxSocketPath || strings.ContainsRune(path, 0) {
		p.addError("%s:// with the path of a socket that is longer than %d bytes or contains a NUL byte", p.scheme, maxSocketPath)
	}
	p.target.ReadsFiles = true
	return serverHost{socket: path}
}

// parseSocketURL returns the socket of a URL such as redis+socket:///PATH.
func (p *targetParser) parseSocketURL(u serverURL) []serverHost {
	if u.hosts != "" || len(u.path) < 2 {
		p.addError("%s:// needs the absolute path of a socket: write redis+socket:///PATH", p.scheme)
	}
	return []serverHost{p.newSocket(unescapeIfValid(u.path))}
}

// parseMySQLHosts returns the hosts of a URL, or the socket that its query names.
func (p *targetParser) parseMySQLHosts(u serverURL, defaultPort uint16) []serverHost {
	// The names are those of SQLAlchemy and PHP (unix_socket), of Rails and Node (socket), and
	// of MariaDB's JDBC driver (localSocket).
	for _, name := range []string{"unix_socket", "socket", "localSocket"} {
		switch path := u.query.Get(name); {
		case strings.HasPrefix(path, "/"):
			return []serverHost{p.newSocket(path)}
		case path != "":
			p.addError("%s:// with a %s= that is not an absolute path: write %[2]s=/run/mysqld/mysqld.sock", p.scheme, name)
		}
	}
	if u.hosts == "" {
		p.addError("%s:// has no host: write %[1]s://HOST, or %[1]s:///DATABASE?unix_socket=/PATH for a socket", p.scheme)
		return nil
	}
	return p.parseHosts(u.hosts, defaultPort)
}

// parsePostgresHosts returns the hosts of a URL, which it reads as libpq does. The parameters
// host= and hostaddr= of the query replace the hosts of the URL but not its ports, and port=
// replaces the ports. A host that begins with / is the directory of a socket. With hostaddr=
// the certificate must still be for the host in host= or in the URL. As in SQLAlchemy, host=
// may be repeated, and its value may be HOST:PORT.
func (p *targetParser) parsePostgresHosts(u serverURL, defaultPort uint16) (hosts []serverHost) {
	list := strings.Join(u.query["host"], ",")
	var names []string
	if addrs := u.query.Get("hostaddr"); addrs != "" {
		names = strings.Split(cmp.Or(list, u.hosts), ",")
		list = addrs
	}
	fromQuery := list != ""
	p.hidesHosts = p.hidesHosts || fromQuery
	if !fromQuery {
		list = u.hosts
	}
	if list == "" {
		p.addError("%s:// has no host: write %[1]s://HOST, or %[1]s:///DATABASE?host=/var/run/postgresql for a socket", p.scheme)
		return nil
	}
	written := u.query.Get("port")
	if written == "" && fromQuery {
		written = portsOf(u.hosts, defaultPort)
	}
	ports := p.parsePorts(written)
	all := strings.Split(list, ",")
	if len(ports) > 1 && len(ports) != len(all) {
		p.addError("%s:// with %d hosts and %d ports: write one port, or one for each host", p.scheme, len(all), len(ports))
		return nil
	}
	for i, text := range all {
		port := defaultPort
		if len(ports) > 0 {
			port = ports[min(i, len(ports)-1)]
		}
		h := p.parsePostgresHost(text, port, fromQuery)
		if len(ports) > 0 {
			h.port = port
		}
		if len(names) == len(all) && !strings.HasPrefix(names[i], "[") {
			h.name, _, _ = strings.Cut(names[i], ":")
		}
		hosts = append(hosts, h)
	}
	return hosts
}

// parsePostgresHost parses HOST[:PORT] or the directory of a socket. A directory that is in
// the host part of the URL, and not in its query, has each / written as %2F.
func (p *targetParser) parsePostgresHost(text string, port uint16, fromQuery bool) serverHost {
	dir := text
	if !fromQuery && len(text) > 3 && strings.EqualFold(text[:3], "%2f") {
		escaped, own, _ := strings.Cut(text, ":")
		port = slices.Concat(p.parsePorts(own), []uint16{port})[0]
		dir, _ = url.PathUnescape(escaped)
	}
	switch _, err := netip.ParseAddr(text); {
	case strings.HasPrefix(dir, "/"):
		return p.newSocket(dir + "/.s.PGSQL." + strconv.Itoa(int(port)))
	case fromQuery && err == nil: // in the query an IPv6 address has no brackets
		return serverHost{host: text, port: port}
	}
	h := serverHost{label: text}
	if p.hidesHosts {
		h.label = ""
	}
	h.host, h.port = p.parseHostPort(text, port)
	return h
}

// portsOf takes HOST[:PORT],HOST[:PORT],… and returns PORT,PORT,… with defaultPort for each host
// without a port. If no host has a port, portsOf returns "".
func portsOf(hosts string, defaultPort uint16) string {
	var ports []string
	found := false
	for _, text := range strings.Split(hosts, ",") {
		port := strconv.Itoa(int(defaultPort))
		if i := strings.LastIndexByte(text, ':'); i > strings.LastIndexByte(text, ']') && i+1 < len(text) {
			port, found = text[i+1:], true
		}
		ports = append(ports, port)
	}
	if !found {
		return ""
	}
	return strings.Join(ports, ",")
}

// parsePorts parses port numbers that are separated by commas, as in the parameter port= of a URL.
func (p *targetParser) parsePorts(list string) (ports []uint16) {
	if list == "" {
		return nil
	}
	for _, text := range strings.Split(list, ",") {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			p.addError("%s:// with a port that is not in 1-65535: write for example port=5432", p.scheme)
			continue
		}
		ports = append(ports, uint16(port))
	}
	return ports
}
