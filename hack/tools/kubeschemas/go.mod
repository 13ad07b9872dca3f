module github.com/aporeto-inc/kubectl-aporeto/hack/tools/kubeschemas

go 1.26.0
