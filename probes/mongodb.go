package probes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
)

// buildMongoDB builds a probe that uses TLS if the URL has tls=true or ssl=true, as MongoDB's
// drivers do, or if the target has an option for TLS, such as ca=.
func buildMongoDB(p *targetParser) Probe {
	probe := buildServer(27017, askMongoDB)(p)
	if s, ok := probe.(*serverProbe); ok {
		s.tls = p.mongoTLS(lowerNames(s.url.query), tlsUnset)
	}
	return probe
}

// An srvProbe is a serverProbe whose hosts come from an SRV record.
type srvProbe struct {
	serverProbe
	record string // the name of the record
}

// Ask looks up the record and probes its hosts.
func (probe *srvProbe) Ask(ctx context.Context, a Attempt) error {
	hosts, err := a.resolver().lookupSRV(ctx, probe.record)
	if err != nil {
		return err
	}
	if probe.hosts[0].isHidden() {
		hosts = slices.Clone(hosts)
		for i := range hosts {
			hosts[i].label = ""
		}
	}
	server := probe.serverProbe
	server.hosts = hosts
	return server.Ask(ctx, a)
}

// buildMongoSRV builds a probe of the hosts in the SRV record _mongodb._tcp.NAME. The probe
// uses TLS unless the URL has tls=false or ssl=false. The parameter srvServiceName replaces
// mongodb in the name of the record. (These rules are in the specification "Initial
// DNS Seedlist Discovery" of MongoDB's drivers.)
func buildMongoSRV(p *targetParser) Probe {
	s, ok := buildServer(27017, askMongoDB)(p).(*serverProbe)
	if !ok || len(s.hosts) == 0 {
		return nil
	}
	host := s.hosts[0].host
	if len(s.hosts) > 1 || host != s.url.hosts || literalAddrs(host) != nil {
		p.addError("mongodb+srv:// needs one name without a port, because an SRV record has the hosts and ports: write mongodb+srv://NAME, or mongodb://HOST:PORT")
	}
	params := lowerNames(s.url.query)
	s.tls = p.mongoTLS(params, tlsVerified)
	service := cmp.Or(params["srvservicename"], "mongodb")
	if strings.ContainsFunc(service, isInvalidInHost) {
		p.addError("mongodb+srv:// with a srvServiceName= that is not the name of a service, such as mongodb")
	}
	return &srvProbe{*s, "_" + service + "._tcp." + host}
}

// mongoTLS returns the TLS settings for a URL with the parameters params, or nil if the probe
// must not use TLS. mode applies if the URL has no tls= or ssl= with the value true or
// false.
func (p *targetParser) mongoTLS(params map[string]string, mode tlsMode) *tlsSettings {
	for _, name := range []string{"tls", "ssl"} {
		switch params[name] {
		case "true":
			mode = tlsVerified
		case "false":
			mode = tlsOff
		}
	}
	return p.serverTLS(mode, params)
}

// The opcode and the request ID of askMongoDB's messages.
const (
	mongoOpMsg   = 2013
	mongoRequest = 1
)

// askMongoDB sends the command hello, which needs no login. A server that does not know hello,
// such as MongoDB 4.4.1, gets the older command isMaster. Both are sent in an OP_MSG, which
// MongoDB has since version 3.6.
//
// A standalone server, a primary, a secondary and a mongos are ready. Other members of a
// replica set are not ready. A member that is starting, recovering or in rollback accepts
// connections but no reads, and an arbiter holds no data. A member without a valid
// configuration (before rs.initiate, or after its removal) reports isreplicaset.
func askMongoDB(s *session) error {
	reply, err := s.runMongoCommand("hello")
	if err == nil && reply.code == 59 { // CommandNotFound
		reply, err = s.runMongoCommand("isMaster")
	}
	if err != nil {
		return err
	}
	if err := reply.check(); err != nil {
		return err
	}
	s.closeGracefully(nil)
	return nil
}

// runMongoCommand sends a command with the argument 1 to the database admin, and reads the
// reply.
func (s *session) runMongoCommand(command string) (mongoReply, error) {
	// An element of BSON begins with its type: 0x10 is an int32, 0x02 a string.
	fields := "\x10" + command + "\x00\x01\x00\x00\x00" + "\x02$db\x00\x06\x00\x00\x00admin\x00" + "\x00"
	// The body of an OP_MSG begins with four bytes of flags, and a byte for the kind of the
	// section: 0 is a document.
	body := binary.LittleEndian.AppendUint32([]byte("\x00\x00\x00\x00\x00"), uint32(len(fields)+4))
	body = append(body, fields...)
	var head []byte
	for _, n := range []uint32{uint32(16 + len(body)), mongoRequest, 0, mongoOpMsg} {
		head = binary.LittleEndian.AppendUint32(head, n)
	}
	s.write(string(head) + string(body))

	head, err := s.read(16)
	if err != nil {
		return mongoReply{}, err
	}
	size, to, opcode := binary.LittleEndian.Uint32(head), binary.LittleEndian.Uint32(head[8:]), binary.LittleEndian.Uint32(head[12:])
	if size < 16+5+5 || size > maxServerBytes/2 || to != mongoRequest || opcode != mongoOpMsg {
		return mongoReply{}, errWrongProtocol("MongoDB")
	}
	body, err = s.read(int(size) - 16)
	if err != nil {
		return mongoReply{}, err
	}
	reply, ok := parseMongoReply(body)
	if !ok {
		return mongoReply{}, errWrongProtocol("MongoDB")
	}
	return reply, nil
}

// A mongoReply holds the fields of a reply to hello or isMaster that decide whether the server
// is ready.
type mongoReply struct {
	ok           bool
	code         int64 // the code of an error
	primary      bool  // also true for a standalone server and a mongos
	secondary    bool
	arbiter      bool
	mongos       bool
	isReplicaSet bool // a member of a replica set, without a valid configuration
}

// check returns nil if the server is ready.
func (r mongoReply) check() error {
	switch {
	case !r.ok && (r.code == 13 || r.code == 18): // Unauthorized, AuthenticationFailed
		return nil
	case !r.ok && (r.code == 91 || r.code == 11600): // ShutdownInProgress, InterruptedAtShutdown
		return probeError{"shutting down", nil}
	case !r.ok:
		return hintedError{probeError{fmt.Sprintf("answered hello with error %d", r.code), nil}, hintOwnLog}
	case r.primary, r.secondary, r.mongos:
		return nil
	case r.arbiter:
		return hintedError{probeError{"an arbiter, which holds no data", nil}, "write a member that holds data"}
	case r.isReplicaSet:
		return hintedError{probeError{"not a member of a replica set yet", nil}, "has rs.initiate() been run, and is this host in the configuration?"}
	}
	return hintedError{probeError{"neither primary nor secondary: starting, recovering or in rollback", nil}, hintStarting}
}

// parseMongoReply parses the body of an OP_MSG with one section of kind 0, which is a BSON
// document (bsonspec.org). It skips fields that it does not need. It returns false if the
// body is invalid or the document has no field ok.
func parseMongoReply(body []byte) (r mongoReply, ok bool) {
	flags := binary.LittleEndian.Uint32(body)
	if flags&1 != 0 && len(body) > 4 { // a checksum is at the end of the body
		body = body[:len(body)-4]
	}
	doc := body[5:]
	if body[4] != 0 || len(doc) < 5 || binary.LittleEndian.Uint32(doc) != uint32(len(doc)) || doc[len(doc)-1] != 0 {
		return r, false
	}
	seen := false
	for doc = doc[4 : len(doc)-1]; len(doc) > 0; {
		kind := doc[0]
		name, value, found := bytes.Cut(doc[1:], []byte{0})
		size := bsonSize(kind, value)
		if !found || size < 0 || size > len(value) {
			return r, false
		}
		value, doc = value[:size], value[size:]
		yes := bsonNumber(kind, value) != 0
		switch string(name) {
		case "ok":
			r.ok, seen = yes, true
		case "code":
			r.code = bsonNumber(kind, value)
		case "isWritablePrimary", "ismaster":
			r.primary = r.primary || yes
		case "secondary":
			r.secondary = yes
		case "arbiterOnly":
			r.arbiter = yes
		case "isreplicaset":
			r.isReplicaSet = yes
		case "msg":
			r.mongos = kind == 0x02 && strings.HasPrefix(string(value[4:]), "isdbgrid\x00")
		}
	}
	return r, seen
}

// bsonSize returns the size in bytes of the value at the beginning of data; kind is the
// value's type. It returns -1 if it does not know the type, or if the length at the
// beginning of the value is missing or not valid.
func bsonSize(kind byte, data []byte) int {
	length := func(more int) int {
		if len(data) < 4 {
			return -1
		}
		n := int64(binary.LittleEndian.Uint32(data)) + int64(more)
		if n < 4 || n > int64(len(data)) {
			return -1
		}
		return int(n)
	}
	switch kind {
	case 0x06, 0x0A, 0x7F, 0xFF: // no value: undefined, null, the largest and the smallest key
		return 0
	case 0x08: // boolean
		return 1
	case 0x10: // int32
		return 4
	case 0x01, 0x09, 0x11, 0x12: // eight bytes: double, date, timestamp, int64
		return 8
	case 0x07: // ObjectId
		return 12
	case 0x13: // decimal128
		return 16
	case 0x03, 0x04, 0x0F: // document, array, code with scope: the length counts itself
		return length(0)
	case 0x02, 0x0D, 0x0E: // string, code, symbol: the length counts the bytes after it
		return length(4)
	case 0x05: // binary: the length counts neither itself nor the subtype, a byte
		return length(5)
	}
	return -1
}

// bsonNumber returns a boolean, int32, int64 or double as an integer. It returns 0 for any
// other type, and for a double that is NaN or whose absolute value is 1e15 or more. value must
// have the length that bsonSize returns.
func bsonNumber(kind byte, value []byte) int64 {
	switch kind {
	case 0x08:
		return int64(value[0])
	case 0x10:
		return int64(int32(binary.LittleEndian.Uint32(value)))
	case 0x12:
		return int64(binary.LittleEndian.Uint64(value))
	case 0x01:
		f := math.Float64frombits(binary.LittleEndian.Uint64(value))
		if math.Abs(f) < 1e15 { // also false for NaN
			return int64(f)
		}
	}
	return 0
}
