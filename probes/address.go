package probes

import (
	"net/netip"
	"strconv"
	"strings"
)

// splitAuthority splits the text after the scheme into the authority (RFC 3986, section
// 3.2) and the rest.
func (p *targetParser) splitAuthority() (authority, rest string) { return splitAuthority(p.rest) }

func splitAuthority(text string) (authority, rest string) {
	if i := strings.IndexAny(text, "/?#"); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// parseHostPort parses HOST:PORT or [IPv6]:PORT. If authority has no port, parseHostPort
// returns defaultPort. If defaultPort is 0, a missing port is an error.
//
// An unescaped / or space in a password ends the authority early, so the first part of the
// password is parsed as the port. Therefore the error for a port that is not a number does
// not show the port.
//
// No error shows the authority if it may contain a secret: if p.hidesHosts is set (the host is
// in an environment variable or a query), if more words follow the URL, if the URL contains an
// @, or if the authority contains a % or one of the characters ()=;&. (After a [ a % may be
// shown, because it precedes an IPv6 zone.)
func (p *targetParser) parseHostPort(authority string, defaultPort uint16) (host string, port uint16) {
	if strings.Contains(authority, ",") {
		p.addError("%s:// with several hosts: write one target for each host", p.scheme)
		return "", 0
	}
	form, shown := p.scheme+"://HOST:PORT", authority
	if p.hidesHosts || p.hasExtraWords || strings.Contains(p.rest, "@") || strings.Contains(authority, "%") && !strings.HasPrefix(authority, "[") ||
		strings.ContainsAny(authority, "()=;&") { // a list of parameters, as in jdbc:mysql://(host=db,password=x)/
		shown = "…"
	}
	host, digits, written := authority, "", false
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, digits, written = authority[:i], authority[i+1:], true
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case !written && defaultPort != 0:
		port = defaultPort
	case digits == "":
		p.addError("%s://%s has no port: write %s", p.scheme, shown, form)
	case strings.Trim(digits, "0123456789") != "":
		p.addError("%s:// with a port that is not a number: write %s", p.scheme, form)
	case err != nil || number < 1 || number > 65535:
		p.addError("%s://%s: the port is not in 1-65535", p.scheme, shown)
	default:
		port = uint16(number)
	}
	switch bracketed := strings.HasPrefix(host, "["); {
	case host == "":
		p.addError("%s:// has no host: write %s", p.scheme, form)
	case !bracketed && strings.Count(authority, ":") == 2 && !strings.Contains(authority, "::"):
		p.addError("%s:// with more than one port: write %s", p.scheme, form)
	case !bracketed && strings.Contains(host, ":"):
		p.addError("%s://%s: an IPv6 address needs brackets: write %s://[::1]:80", p.scheme, shown, p.scheme)
	case bracketed:
		host = strings.TrimSuffix(host[1:], "]")
		host = strings.Replace(host, "%25", "%", 1) // a URL has %25 for the % before an IPv6 zone (RFC 6874)
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() || !strings.Contains(authority, "]") {
			p.addError("%s://%s: not an IPv6 address in the brackets: write %s://[::1]:80", p.scheme, shown, p.scheme)
		}
	case strings.ContainsFunc(host, isInvalidInHost):
		p.addError("%s://%s: a character that is not allowed in a host name (write non-ASCII names as xn--…)", p.scheme, shown)
	}
	if literalAddrs(host) == nil {
		p.target.ReadsFiles = true
	}
	return host, port
}

func isInvalidInHost(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("-._", c))
}
