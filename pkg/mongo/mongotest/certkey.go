package mongotest

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/pki"
)

// ParseCertKey reads a full.pem as mongod takes it: the key and the chain in
// either order; password opens an encrypted key (PKCS#8 PBES2, or the legacy
// form) and is left alone for a plain one.
func ParseCertKey(data, password []byte) (tls.Certificate, error) {
	var out tls.Certificate
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			out.Certificate = append(out.Certificate, block.Bytes)
			continue
		}
		if out.PrivateKey != nil {
			return tls.Certificate{}, errors.New("parse certificate key file: more than one key")
		}
		key, err := pki.ParseKey(pem.EncodeToMemory(block), password)
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("parse certificate key file: %w", err)
		}
		out.PrivateKey = key
	}
	if len(out.Certificate) == 0 || out.PrivateKey == nil {
		return tls.Certificate{}, errors.New("parse certificate key file: it must hold a certificate and a key")
	}
	leaf, err := x509.ParseCertificate(out.Certificate[0])
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("parse certificate key file: %w", err)
	}
	if signer, ok := out.PrivateKey.(crypto.Signer); !ok || !pki.Matches(leaf, signer) {
		return tls.Certificate{}, errors.New("parse certificate key file: the key is not the certificate's")
	}
	out.Leaf = leaf
	return out, nil
}
