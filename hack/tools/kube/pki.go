package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// validFor is the life of everything issued here; a sandbox does not live for a month.
const validFor = 30 * 24 * time.Hour

// pkiOptions say for which cluster and where.
type pkiOptions struct {
	dir, server, cluster, node string
	ips                        []net.IP
	names                      []string
}

// newPKICommand writes one cluster's CA, serving and client certificates, ServiceAccount key and kubeconfigs.
func newPKICommand() *cobra.Command {
	var o pkiOptions
	c := &cobra.Command{
		Use:          "pki",
		Short:        "Issue the certificates and kubeconfigs of one cluster",
		Args:         cobra.NoArgs,
		SilenceUsage: true,
		RunE:         func(*cobra.Command, []string) error { return runPKI(o) },
	}
	f := c.Flags()
	f.StringVar(&o.dir, "dir", "pki", "output directory")
	f.StringVar(&o.server, "server", "https://127.0.0.1:6443", "URL of the API server, for the kubeconfigs")
	f.StringVar(&o.cluster, "cluster", "zone", "name of the cluster, and of the context")
	f.StringVar(&o.node, "node", "node", "name of the node")
	f.IPSliceVar(&o.ips, "ip", []net.IP{net.IPv4(127, 0, 0, 1)}, "addresses the servers are reached at")
	f.StringSliceVar(&o.names, "dns", nil, "further names the servers are reached at")
	return c
}

// runPKI issues everything, in one go; it is not run twice on one directory.
func runPKI(o pkiOptions) error {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	a, err := newAuthority(o.dir, o.cluster+"-ca")
	if err != nil {
		return err
	}
	names := append([]string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}, o.names...)
	for _, s := range []subject{
		{file: "server", cn: "kube-apiserver", ips: o.ips, names: names},
		{file: "kubelet-server", cn: "system:node:" + o.node, orgs: []string{"system:nodes"}, ips: o.ips, names: names},
		{file: "etcd-client", cn: "etcd-client"},
		{file: "kubelet-client", cn: "kube-apiserver-kubelet-client", orgs: []string{"system:masters"}},
	} {
		if _, _, err := a.issue(s); err != nil {
			return err
		}
	}
	if err := a.serviceAccountKey(); err != nil {
		return err
	}
	for _, s := range []subject{
		{file: "admin", cn: "kubernetes-admin", orgs: []string{"system:masters"}},
		{file: "kube-controller-manager", cn: "system:kube-controller-manager"},
		{file: "kube-scheduler", cn: "system:kube-scheduler"},
		{file: "kube-proxy", cn: "system:kube-proxy"},
		{file: "kubelet", cn: "system:node:" + o.node, orgs: []string{"system:nodes"}},
	} {
		crt, key, err := a.issue(s)
		if err != nil {
			return err
		}
		if err := a.kubeconfig(s.file, o, crt, key); err != nil {
			return err
		}
	}
	return nil
}

// subject is one certificate to issue; one with addresses or names is a server's (and a client's, too).
type subject struct {
	file, cn string
	orgs     []string
	ips      []net.IP
	names    []string
}

// authority is a cluster's CA and the directory its files go to.
type authority struct {
	dir  string
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

// newAuthority makes the CA and writes ca.crt and ca.key.
func newAuthority(dir, cn string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate CA key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: cn},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(validFor),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA certificate: %w", err)
	}
	a := &authority{dir: dir, cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if _, err := a.writeKey("ca", key); err != nil {
		return nil, err
	}
	return a, a.write("ca.crt", a.pem, 0o644)
}

// issue writes FILE.crt and FILE.key and returns both as PEM.
func (a *authority) issue(s subject) (crt, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key of %q: %w", s.cn, err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: s.cn, Organization: s.orgs},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: a.cert.NotAfter,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		DNSNames:    s.names, IPAddresses: s.ips,
	}
	if len(s.names)+len(s.ips) > 0 {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("issue certificate of %q: %w", s.cn, err)
	}
	crt = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := a.write(s.file+".crt", crt, 0o644); err != nil {
		return nil, nil, err
	}
	keyPEM, err = a.writeKey(s.file, key)
	return crt, keyPEM, err
}

// serviceAccountKey writes sa.key and sa.pub: RSA, because every OIDC library understands RS256.
func (a *authority) serviceAccountKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generate ServiceAccount key: %w", err)
	}
	if _, err := a.writeKey("sa", key); err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode ServiceAccount key: %w", err)
	}
	return a.write("sa.pub", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
}

// kubeconfig writes USER.kubeconfig. Its user entry carries the cluster's name, so that the kubeconfigs of several
// clusters can be merged.
func (a *authority) kubeconfig(user string, o pkiOptions, crt, key []byte) error {
	kc := clientcmdapi.NewConfig()
	entry := o.cluster + "-" + user
	kc.Clusters[o.cluster] = &clientcmdapi.Cluster{Server: o.server, CertificateAuthorityData: a.pem}
	kc.AuthInfos[entry] = &clientcmdapi.AuthInfo{ClientCertificateData: crt, ClientKeyData: key}
	kc.Contexts[o.cluster] = &clientcmdapi.Context{Cluster: o.cluster, AuthInfo: entry}
	kc.CurrentContext = o.cluster
	path := filepath.Join(a.dir, user+".kubeconfig")
	if err := clientcmd.WriteToFile(*kc, path); err != nil {
		return fmt.Errorf("write kubeconfig %q: %w", path, err)
	}
	return nil
}

// writeKey writes FILE.key (PKCS#8, mode 0600) and returns its PEM.
func (a *authority) writeKey(file string, key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key %q: %w", file, err)
	}
	p := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return p, a.write(file+".key", p, 0o600)
}

func (a *authority) write(file string, data []byte, mode os.FileMode) error {
	if err := os.WriteFile(filepath.Join(a.dir, file), data, mode); err != nil {
		return fmt.Errorf("write %q: %w", file, err)
	}
	return nil
}

// newSerial returns a random 127-bit serial number.
func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("generate serial number: %w", err)
	}
	return n, nil
}
