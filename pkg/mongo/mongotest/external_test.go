package mongotest

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/bson"
)

// writeCerts writes what External reads of a directory of `pki init`, the System
// CA's key under one passphrase and the admin's under another.
func writeCerts(t *testing.T, a *Authority, caPass, adminPass string) string {
	t.Helper()
	dir := t.TempDir()
	sealed := func(key any, pass string) []byte {
		der := must(x509.MarshalPKCS8PrivateKey(key))(t)
		if pass == "" {
			return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
		}
		// The former way of sealing: opening one of today's takes a second, by design.
		ec := must(x509.MarshalECPrivateKey(key.(*ecdsa.PrivateKey)))(t)
		block, err := x509.EncryptPEMBlock(rand.Reader, "EC PRIVATE KEY", ec, []byte(pass), x509.PEMCipherAES256) //nolint:staticcheck // read, never written but here
		return pem.EncodeToMemory(must(block, err)(t))
	}
	admin := must(a.Issue(AdminDN))(t)
	for name, data := range map[string][]byte{
		"ca-signing-system-cert.pem": pemCert(a.ca.Raw), "ca-signing-system-key.pem": sealed(a.signer, caPass), "ca-chain-system.pem": a.Chain,
		"mongodb-admin-full.pem": append(sealed(admin.PrivateKey, adminPass), pemCert(admin.Certificate[0])...),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestExternal reaches a cluster by a connection string as people write them and
// a directory as `pki init` writes it, where each key has its own passphrase.
func TestExternal(t *testing.T) {
	running := Start(t, Options{Routers: 2})
	hosts := strings.Join(running.Hosts(), ",")
	for name, c := range map[string]struct{ uri, caPass, adminPass string }{
		"one passphrase":           {"mongodb://" + hosts + "/?authMechanism=MONGODB-X509&authSource=%24external&tls=true", "secret", "secret"},
		"a passphrase for each":    {"mongodb://" + hosts, "secret", "other"},
		"a user name, a database":  {"mongodb://CN%3Dmongodb-admin@" + hosts + "/admin?authMechanism=MONGODB-X509", "", ""},
		"tls by its former option": {"mongodb://" + hosts + "/?ssl=true", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := External(t, c.uri, writeCerts(t, running.Authority(), c.caPass, c.adminPass), "secret")
			if srv.Admin() != AdminDN || len(srv.Hosts()) != 2 {
				t.Errorf("admin %s, hosts %v", srv.Admin(), srv.Hosts())
			}
			srv.CreateUser(service, Role("readWrite", "squall"))
			if _, err := srv.Client(service).Database("squall").Collection("c").InsertOne(t.Context(), bson.D{}); err != nil {
				t.Error(err)
			}
		})
	}
	dir := writeCerts(t, running.Authority(), "secret", "secret")
	for pass, want := range map[string]string{"wrong": "value get global.certs.ca.system.pass", "": EnvKeyPass} {
		if _, err := external("mongodb://"+hosts, dir, []byte(pass)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("passphrase %q: %v", pass, err)
		}
	}
	if _, err := external("mongodb://"+hosts, t.TempDir(), nil); err == nil {
		t.Error("an empty directory was taken")
	}
}
