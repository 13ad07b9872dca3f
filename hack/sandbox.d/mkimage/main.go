// Command mkimage packs a static program into a docker-save archive for the sandbox, by the code that builds the image of
// a release:
//
//	mkimage -o out.tar -name aporeto-agent -reference registry.local/aporeto-agent:dev BINARY [ARG...]
//
// ARG... are the image's default arguments.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/aporeto-inc/kubectl-aporeto/pkg/image"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	f := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	out := f.String("o", "image.tar", "archive to write")
	program := f.String("name", "", "name of the program in the image; the binary's own without it")
	reference := f.String("reference", "", "reference of the image, with a tag")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errors.New("no binary given")
	}
	binary, base, err := image.ReadProgram(f.Arg(0))
	if err != nil {
		return err
	}
	if *program == "" {
		*program = base
	}
	img, err := image.Build(binary, image.Spec{Name: *program, Args: f.Args()[1:]})
	if err != nil {
		return err
	}
	return image.WriteArchive(*out, *reference, img)
}
