package main

import (
	"crypto/tls"
	"os"
	"sync"
	"time"

	"k8s.io/klog/v2"
)

// keyPair is a server certificate that follows its files.
type keyPair struct {
	cert, key string

	mu                sync.Mutex
	loaded            *tls.Certificate
	certTime, keyTime time.Time
}

// get implements tls.Config.GetCertificate. While files cannot be read, perhaps
// because they are being replaced, the last good pair stays in use.
func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	certTime, keyTime := modified(k.cert), modified(k.key)
	if k.loaded != nil && certTime.Equal(k.certTime) && keyTime.Equal(k.keyTime) {
		return k.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	switch {
	case err == nil:
		k.loaded, k.certTime, k.keyTime = &pair, certTime, keyTime
	case k.loaded == nil:
		return nil, err
	default:
		klog.Background().Error(err, "The new certificate cannot be used; the old one is kept", "file", k.cert)
	}
	return k.loaded, nil
}

// modified returns when a file was changed last, the zero time when that cannot
// be told.
func modified(name string) time.Time {
	fi, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}
