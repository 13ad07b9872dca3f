// Package pki makes and judges the certificates of one environment: a root CA, the System CA that signs everything MongoDB sees, the
// Public CA that signs default certificates of public hosts, and their leaves.
//
// PEM bytes and values go in and come out; the clock and the source of randomness are parameters, and no file is touched. Formats:
// X.509 (RFC 5280), names as strings by RFC 2253 (the order MongoDB compares), private keys PKCS#8 (RFC 5958), encrypted ones PBES2
// (RFC 8018). Legacy PEM encryption (RFC 1421) is read and never written.
//
// Invariants: no certificate outlives its chain; a subject's DER order is O, OU, CN, so that its string begins with CN; no error text
// contains a passphrase or a part of a key. The package does not store, distribute or revoke anything.
//
// About randomness: serial numbers, salts and initialization vectors come from the given reader. Keys and signatures come from the
// operating system whatever the reader is, since Go's crypto packages take no other source from Go 1.26 on.
package pki
