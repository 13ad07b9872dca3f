package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"

	"go.step.sm/crypto/pemutil"
)

// Algorithm is the kind of a private key.
type Algorithm string

// The algorithms that keys can be made with.
const (
	ECDSA     Algorithm = "ecdsa"      // P-256, the default of everything but the root
	ECDSAP384 Algorithm = "ecdsa-p384" // the root CA
	RSA       Algorithm = "rsa"        // 3072 bits, for clients that know nothing else
)

// ErrPassphrase says that an encrypted key did not open with the passphrase it was given.
var ErrPassphrase = errors.New("the passphrase does not open the key")

const rsaBits = 3072

// plainKey is the PEM type of an unencrypted PKCS#8 key.
const plainKey = "PRIVATE KEY"

// NewKey makes a private key and returns it as plain PKCS#8 in PEM.
func NewKey(algorithm Algorithm, rand io.Reader) ([]byte, error) {
	var key crypto.Signer
	var err error
	switch algorithm {
	case ECDSA:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand)
	case ECDSAP384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand)
	case RSA:
		key, err = rsa.GenerateKey(rand, rsaBits)
	default:
		return nil, fmt.Errorf("make key: unknown algorithm %q", algorithm)
	}
	if err != nil {
		return nil, fmt.Errorf("make %s key: %w", algorithm, err)
	}
	return marshalKey(key)
}

func marshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: plainKey, Bytes: der}), nil
}

// ParseKey returns the first private key in data, PEM of PKCS#8, PKCS#1 or SEC1, plain or encrypted by PBES2 or the legacy PEM way.
// Certificates before or after it are passed over, so that a -full.pem can be given. The error is ErrPassphrase when an encrypted key
// does not open; passphrase is ignored for a plain key.
func ParseKey(data, passphrase []byte) (crypto.Signer, error) {
	block, err := keyBlock(data)
	if err != nil {
		return nil, err
	}
	if !encrypted(block) {
		return parsePlain(pem.EncodeToMemory(block))
	}
	if len(passphrase) == 0 {
		return nil, fmt.Errorf("open encrypted key: no passphrase given: %w", ErrPassphrase)
	}
	der, err := decrypt(block, passphrase)
	if err != nil {
		return nil, fmt.Errorf("open encrypted key: %w", err)
	}
	plain := &pem.Block{Type: plainKey, Bytes: der}
	if block.Type != "ENCRYPTED PRIVATE KEY" { // legacy: the type still names the encoding inside
		plain.Type = block.Type
	}
	key, err := parsePlain(pem.EncodeToMemory(plain))
	if err != nil {
		// One wrong passphrase in 256 leaves a valid padding; what then does not parse is noise, not a broken key.
		return nil, fmt.Errorf("open encrypted key: %w", ErrPassphrase)
	}
	return key, nil
}

// keyBlock finds the private key among the PEM blocks of data.
func keyBlock(data []byte) (*pem.Block, error) {
	for rest := data; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil && bytes.Contains(rest, []byte("-----BEGIN ")):
			return nil, errors.New("read key: the PEM text is truncated or damaged")
		case block == nil:
			return nil, errors.New("read key: no private key in PEM form found")
		case bytes.HasSuffix([]byte(block.Type), []byte("PRIVATE KEY")):
			return block, nil
		}
	}
}

// encrypted tells whether the block needs a passphrase.
func encrypted(block *pem.Block) bool {
	return block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] == "4,ENCRYPTED"
}

// decrypt opens an encrypted block. The library panics where a damaged block's cipher text is no whole number of cipher blocks; that
// becomes an error here.
func decrypt(block *pem.Block, passphrase []byte) (der []byte, err error) {
	defer func() {
		if recover() != nil {
			der, err = nil, errors.New("the encrypted key is damaged")
		}
	}()
	if err := checkIterations(block); err != nil {
		return nil, err
	}
	der, err = pemutil.DecryptPEMBlock(block, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, ErrPassphrase
	}
	return der, err
}

// maxIterations of a key's PBKDF2 take a few seconds; OpenSSL's default is 2048, ours 600,000.
const maxIterations = 10_000_000

// checkIterations refuses a key whose file asks for more work than anybody's does: the library would do it. What does not parse here is
// left to the library, which says so.
func checkIterations(block *pem.Block) error {
	if block.Headers["Proc-Type"] != "" {
		return nil
	}
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters struct {
				Derivation struct {
					ID         asn1.ObjectIdentifier
					Parameters struct {
						Salt       []byte
						Iterations int
						KeyLength  int           `asn1:"optional"`
						Function   asn1.RawValue `asn1:"optional"`
					}
				}
				Encryption asn1.RawValue
			}
		}
		Key []byte
	}
	if _, err := asn1.Unmarshal(block.Bytes, &info); err != nil {
		return nil //nolint:nilerr // the library tells
	}
	if n := info.Algorithm.Parameters.Derivation.Parameters.Iterations; n > maxIterations {
		return fmt.Errorf("the key's passphrase is derived by %d iterations, more than %d", n, maxIterations)
	}
	return nil
}

func parsePlain(data []byte) (crypto.Signer, error) {
	key, err := pemutil.ParseKey(data)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read key: a %T cannot sign", key)
	}
	return signer, nil
}

// Encrypted tells whether the first private key in data needs a passphrase.
func Encrypted(data []byte) (bool, error) {
	block, err := keyBlock(data)
	if err != nil {
		return false, err
	}
	return encrypted(block), nil
}

// EncryptKey returns the plain private key in data as PKCS#8 encrypted by PBES2 (PBKDF2 with HMAC-SHA-256, AES-256-CBC) in PEM. An
// empty passphrase is refused.
func EncryptKey(data, passphrase []byte, rand io.Reader) ([]byte, error) {
	if len(passphrase) == 0 {
		return nil, errors.New("encrypt key: the passphrase is empty")
	}
	key, err := ParseKey(data, nil)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	block, err := pemutil.EncryptPKCS8PrivateKey(rand, der, passphrase, x509.PEMCipherAES256)
	if err != nil {
		return nil, fmt.Errorf("encrypt key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// DecryptKey returns the private key in data as plain PKCS#8 in PEM, whatever form it had; errors as ParseKey's.
func DecryptKey(data, passphrase []byte) ([]byte, error) {
	key, err := ParseKey(data, passphrase)
	if err != nil {
		return nil, err
	}
	return marshalKey(key)
}

// NewPassphrase returns 256 bits from rand in a form that survives YAML, shells and command lines of other tools: 43 characters of
// URL-safe base64.
func NewPassphrase(rand io.Reader) (string, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(rand, raw); err != nil {
		return "", fmt.Errorf("make passphrase: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}
