package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-run/berth/config"
)

func defaults(t *testing.T) *config.Config {
	t.Helper()
	c := config.Default()
	c.Root, c.State = "/r", "/s"
	c.Complete()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSettings(t *testing.T) {
	c := defaults(t)
	c.CNI.MaxConfs = 0
	network, err := cniOptions(c)
	if err != nil {
		t.Fatal(err)
	}
	if network.MaxConfs < 2 || network.Default.Backend != "" || len(network.Default.Subnets) != 2 ||
		network.Default.DataDir != "/s/cni/networks" || network.Timeouts.Status != 5*time.Second {
		t.Errorf("cni: %+v", network)
	}
	c.Containerd.Address = "/x.sock"
	if e := engineOptions(c); e.External != "/x.sock" || !strings.HasPrefix(e.Root, "/r/") || !strings.HasPrefix(e.ShimSockets, "/s/") {
		t.Errorf("engine: %+v", e)
	}
	if i := imageOptions(c); i.RegistryConfigDir != "/r/certs.d" {
		t.Errorf("images: %+v", i)
	}
	s, err := streamingConfig(c)
	if err != nil || s.Address != "127.0.0.1:0" || s.TLS != nil {
		t.Errorf("streaming: %+v, %v", s, err)
	}
}

// certificate writes a self-signed pair for name.
func certificate(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestServerTLSFollowsItsFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir, "first")
	conf, err := serverTLS(cert, key, cert)
	if err != nil {
		t.Fatal(err)
	}
	served := func() string {
		t.Helper()
		pair, err := conf.GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.Subject.CommonName
	}
	if got := served(); got != "first" {
		t.Errorf("serves %s", got)
	}
	certificate(t, dir, "second")
	later := time.Now().Add(time.Minute)
	for _, f := range []string{cert, key} {
		if err := os.Chtimes(f, later, later); err != nil {
			t.Fatal(err)
		}
	}
	if got := served(); got != "second" {
		t.Errorf("serves %s after the renewal", got)
	}
	if err := os.WriteFile(cert, []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := served(); got != "second" {
		t.Errorf("serves %s while the files are broken", got)
	}
	for _, bad := range [][3]string{{dir + "/none", key, ""}, {cert, key, ""}, {key, cert, ""}} {
		if _, err := serverTLS(bad[0], bad[1], bad[2]); err == nil {
			t.Errorf("serverTLS(%v) succeeded", bad)
		}
	}
	if conf, err := serverTLS("", "", ""); conf != nil || err != nil {
		t.Errorf("without a certificate: %v, %v", conf, err)
	}
}
