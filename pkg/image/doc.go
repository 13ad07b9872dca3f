// Package image builds the agent's container image from its static binary, without a registry or a container engine.
//
// An image is one layer over nothing: the program at /NAME, and /etc/passwd with the user it runs as. The same binary and
// the same Spec give the same digest, wherever and whenever it is built. The package neither compiles the binary nor
// decides where an image goes.
//
// Formats: OCI image configuration (https://github.com/opencontainers/image-spec) and the archive of `docker save`, through
// github.com/google/go-containerregistry.
package image
