package probes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificates holds the certificates of the servers by a name such as "expired". The
// certificates of the authorities are in the files good.pem and other.pem in dir.
type certificates struct {
	dir  string
	pair map[string]tls.Certificate
}

// newCertificates makes certificates whose dates are relative to the fake time of synctest, which
// begins at midnight UTC 2000-01-01.
func newCertificates(t *testing.T) *certificates {
	t.Helper()
	c := &certificates{t.TempDir(), map[string]tls.Certificate{}}
	day := func(n int) time.Time { return time.Date(2000, 1, 1+n, 0, 0, 0, 0, time.UTC) }
	sign := func(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (tls.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		if parent == nil {
			parent, parentKey = template, key
		}
		template.SerialNumber = big.NewInt(1)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		require.NoError(t, err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, key
	}
	authority := func(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
		template := &x509.Certificate{Subject: pkix.Name{CommonName: "authority " + name}, NotBefore: day(-100), NotAfter: day(100), IsCA: true, BasicConstraintsValid: true}
		pair, key := sign(template, nil, nil)
		text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
		require.NoError(t, os.WriteFile(filepath.Join(c.dir, name+".pem"), text, 0o600))
		return template, key
	}
	good, goodKey := authority("good")
	other, otherKey := authority("other")

	names := []string{"localhost", "a.test", "b.test", "c.test", secretHost}
	addrs := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	for n := 1; n <= 3; n++ {
		names = append(names, fmt.Sprintf("*.cluster%d.test", n))
		for i := 1; i <= 6; i++ {
			addrs = append(addrs, net.IPv4(10, 0, byte(n), byte(i)))
		}
	}
	leaf := func(from, to int, names []string, addrs []net.IP) *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "CANARY"}, NotBefore: day(from), NotAfter: day(to), DNSNames: names, IPAddresses: addrs}
	}
	c.pair["good"], _ = sign(leaf(-1, 50, names, addrs), good, goodKey)
	c.pair["expired"], _ = sign(leaf(-50, -1, names, addrs), good, goodKey)
	c.pair["not yet valid"], _ = sign(leaf(1, 50, names, addrs), good, goodKey)
	c.pair["wrong name"], _ = sign(leaf(-1, 50, []string{"elsewhere.test"}, nil), good, goodKey)
	c.pair["other authority"], _ = sign(leaf(-1, 50, names, addrs), other, otherKey)
	c.pair["self-signed"], _ = sign(leaf(-1, 50, names, addrs), nil, nil)
	return c
}
