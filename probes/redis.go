package probes

import "strings"

// What a Redis server may answer to PING, by how it begins: "" is a yes.
//
// LOADING, MASTERDOWN and BUSY are said instead of serving anybody. With MISCONF
// it fails PING, of all commands that only read, to tell its monitors that it
// cannot save and refuses to write.
var redisAnswers = []struct{ begins, no, hint string }{
	{"+PONG ", "", ""},
	{"-NOAUTH ", "", ""},
	{"-NOPERM ", "", ""},
	{"-DENIED ", "", ""},                     // protected mode
	{"-ERR max number of clients ", "", ""},  // "reached"; in a cluster "+ cluster connections reached"
	{"-ERR operation not permitted", "", ""}, // NOAUTH before Redis 2.8
	{"-ERR unknown command", "", ""},         // rename-command PING ""
	{"-LOADING ", "still loading its data", hintUp},
	{"-MASTERDOWN ", "a replica that has lost its master", hintOwnLog},
	{"-BUSY ", "busy with a script", ""},
	{"-MISCONF ", "cannot save to disk and refuses to write", hintOwnLog},
}

// askRedis sends PING, as redis-cli ping does, but no AUTH before it.
func askRedis(s *session) error {
	s.say("*1\r\n$4\r\nPING\r\n")
	line, err := s.line()
	if err != nil {
		return err
	}
	for _, a := range redisAnswers {
		switch {
		case !strings.HasPrefix(line+" ", a.begins): // a word ends with the line, too
		case a.no != "":
			return hinted{answer{a.no, nil}, a.hint}
		default:
			return nil
		}
	}
	if strings.HasPrefix(line, "-") {
		return answer{"answers PING with an error", nil}
	}
	return stranger("Redis")
}
