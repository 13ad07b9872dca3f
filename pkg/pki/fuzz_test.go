package pki

import (
	"bytes"
	"crypto/rand"
	"encoding/asn1"
	"encoding/pem"
	"strings"
	"testing"
	"time"
)

// swift fails when hostile input keeps a reader busy.
func swift(t *testing.T, length int) func() {
	t.Helper()
	start := time.Now()
	return func() {
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%d bytes of input took %s", length, took)
		}
	}
}

// FuzzParseHosts: no value of global.database.mongo.host panics, and what is taken can stand in a certificate.
func FuzzParseHosts(f *testing.F) {
	for _, value := range []string{"mongo1:27017,mongo2:27017", "*.example.com", "127.0.0.1,[::1]:27017", "::ffff:192.0.2.1", " a , ,b", "a:0", "[a]", "fe80::1%eth0", "\x00"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		defer swift(t, len(value))()
		dns, ips, err := ParseHosts(value)
		if err != nil {
			return
		}
		for _, name := range dns {
			if err := ValidateDNS(name); err != nil {
				t.Errorf("%q of %q: %v", name, value, err)
			}
		}
		for _, ip := range ips {
			if !ip.IsValid() || ip.Zone() != "" {
				t.Errorf("%v of %q has no place in a certificate", ip, value)
			}
		}
	})
}

// TestIterations: a key's file says how much work its passphrase is; more than anybody's is not done.
func TestIterations(t *testing.T) {
	type algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters any
	}
	for iterations, want := range map[int]string{2048: "damaged", 1 << 30: "more than 10000000"} {
		der, err := asn1.Marshal(struct {
			Algorithm algorithm
			Key       []byte
		}{algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}, struct{ Derivation, Encryption algorithm }{
			algorithm{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}, struct {
				Salt       []byte
				Iterations int
			}{[]byte("salt"), iterations}},
			algorithm{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, make([]byte, 16)},
		}}, []byte("no whole block")})
		must(t, err)
		_, err = ParseKey(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der}), []byte("secret"))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d iterations: %v, want %q", iterations, err, want)
		}
	}
}

// FuzzParsePEM: no file panics or hangs what reads certificates and keys, whatever it says about its encryption.
func FuzzParsePEM(f *testing.F) {
	key, err := NewKey(ECDSA, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := EncryptKey(key, []byte("secret"), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key, "")
	f.Add(sealed, "secret")
	f.Add(sealed[:len(sealed)/2], "secret")
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("x")}), "secret")
	f.Add(pem.EncodeToMemory(&pem.Block{Type: certificateType, Bytes: []byte{0x30, 0x80}}), "")
	f.Add(bytes.Repeat([]byte("-----BEGIN "), 1000), "")
	f.Fuzz(func(t *testing.T, file []byte, pass string) {
		defer swift(t, len(file))()
		if certs, err := ParseCertificates(file); err == nil {
			for _, cert := range certs {
				_, _ = Name(cert), IssuerName(cert)
			}
		}
		if signer, err := ParseKey(file, []byte(pass)); err == nil && signer == nil {
			t.Error("no key and no error")
		}
		_, _, _ = Split(file)
	})
}
