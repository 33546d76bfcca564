package probes

import "strings"

// redisReplies lists how replies to PING begin. An empty reason means that the server is ready.
//
// A server that replies LOADING, MASTERDOWN or BUSY rejects almost all commands of all clients.
// A server that replies MISCONF cannot save its data and therefore rejects writes. It also
// rejects PING, so that monitors notice the error, but still executes other commands that only
// read.
var redisReplies = []struct{ begins, reason, hint string }{
	{"+PONG ", "", ""},
	{"-NOAUTH ", "", ""},
	{"-NOPERM ", "", ""},
	{"-DENIED ", "", ""},                     // the server is in protected mode, and this client is remote
	{"-ERR max number of clients ", "", ""},  // the reply goes on with "reached", or in a cluster with "+ cluster connections reached"
	{"-ERR operation not permitted", "", ""}, // Redis before 2.8 sends this reply in place of NOAUTH
	{"-ERR unknown command", "", ""},         // the server's configuration disables PING with rename-command PING ""
	{"-LOADING ", "still loading its data", hintStarting},
	{"-MASTERDOWN ", "a replica without a connection to its master", hintOwnLog},
	{"-BUSY ", "busy with a script", ""},
	{"-MISCONF ", "cannot save to disk and refuses to write", hintOwnLog},
}

// askRedis sends PING, as "redis-cli ping" does, without AUTH.
func askRedis(s *session) error {
	s.write("*1\r\n$4\r\nPING\r\n")
	line, err := s.readLine()
	if err != nil {
		return err
	}
	for _, a := range redisReplies {
		switch {
		case !strings.HasPrefix(line+" ", a.begins): // the space is added because a line may be a single word, such as +PONG
		case a.reason != "":
			return hintedError{probeError{a.reason, nil}, a.hint}
		default:
			return nil
		}
	}
	if strings.HasPrefix(line, "-") {
		return probeError{"answered PING with an error", nil}
	}
	return errWrongProtocol("Redis")
}
