package agentcli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/mongo"
)

// mongoFlags say how to reach MongoDB and as whom.
type mongoFlags struct {
	uri     string
	ca      string
	certKey string
}

func (o *mongoFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&o.uri, "mongodb-uri", "", "connection `string` of the MongoDB routers (required)")
	flags.StringVar(&o.ca, "mongodb-ca", "", "PEM `file` with the CAs that verify the routers (required)")
	flags.StringVar(&o.certKey, "mongodb-cert-key", "", "PEM `file` with the client's certificate, its chain and its key (required)")
}

// registerEnv is register for commands that are run beside another one in its container, whose environment says how.
func (o *mongoFlags) registerEnv(flags *pflag.FlagSet, getenv func(string) string) {
	flags.StringVar(&o.uri, "mongodb-uri", getenv("MONGODB_URI"), "connection `string` of the MongoDB routers (default: $MONGODB_URI)")
	flags.StringVar(&o.ca, "mongodb-ca", getenv("MONGODB_CA_FILE"), "PEM `file` with the CAs that verify the routers (default: $MONGODB_CA_FILE)")
	flags.StringVar(&o.certKey, "mongodb-cert-key", getenv("MONGODB_CERT_KEY_FILE"), "PEM `file` with the client's certificate, its chain and its key (default: $MONGODB_CERT_KEY_FILE)")
}

// problems returns what is wrong with the flags.
func (o *mongoFlags) problems() []error {
	var all []error
	for _, f := range []struct{ name, value string }{{"mongodb-uri", o.uri}, {"mongodb-ca", o.ca}, {"mongodb-cert-key", o.certKey}} {
		if f.value == "" {
			all = append(all, fmt.Errorf("--%s is missing", f.name))
		}
	}
	if o.ca != "" {
		if _, err := os.ReadFile(o.ca); err != nil {
			all = append(all, fmt.Errorf("--mongodb-ca: %w", err))
		}
	}
	if o.certKey != "" {
		if _, err := o.certificate(); err != nil {
			all = append(all, fmt.Errorf("--mongodb-cert-key: %w", err))
		}
	}
	return all
}

// certificate reads the client's certificate. It is read anew for every connection, so that a renewed Secret needs no restart.
func (o *mongoFlags) certificate() (*tls.Certificate, error) {
	pem, err := os.ReadFile(o.certKey)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(pem, pem)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", o.certKey, err)
	}
	return &pair, nil
}

// connect returns a client that never repeats a write by itself. It reaches nothing yet.
func (o *mongoFlags) connect(ctx context.Context, program string) (*mongo.Client, error) {
	options, err := o.options(program)
	if err != nil {
		return nil, err
	}
	return mongo.Connect(ctx, options)
}

func (o *mongoFlags) options(program string) (mongo.Options, error) {
	ca, err := os.ReadFile(o.ca)
	if err != nil {
		return mongo.Options{}, fmt.Errorf("read MongoDB's CAs: %w", err)
	}
	if o.certKey == "" {
		return mongo.Options{}, errors.New("no client certificate")
	}
	return mongo.Options{URI: o.uri, CA: ca, Certificate: o.certificate, AppName: program}, nil
}
