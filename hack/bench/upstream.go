package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
)

// Bodies that the upstream has.
const (
	smallPath = "/small"
	smallBody = 512
	largePath = "/large"
	largeBody = 1 << 20
)

// startUpstream starts the service behind the gateways and proxies: nginx with two files.
func (l *lab) startUpstream(ctx context.Context) (*process, error) {
	if err := os.MkdirAll(l.path("www"), 0o755); err != nil {
		return nil, err
	}
	for name, size := range map[string]int{smallPath: smallBody, largePath: largeBody} {
		if err := os.WriteFile(l.path("www"+name), bytes.Repeat([]byte("0123456789abcde\n"), size/16), 0o644); err != nil {
			return nil, err
		}
	}
	server := fmt.Sprintf(`
    server {
        listen %s;
        root %s;
        default_type text/plain;
    }`, upstreamAddress, l.path("www"))
	if err := free(upstreamAddress); err != nil {
		return nil, err
	}
	p, err := l.startNginx("upstream", 1, server)
	if err != nil {
		return nil, err
	}
	return p, awaitListener(ctx, upstreamAddress, p)
}

// startNginx starts an nginx with one configuration file, everything it writes being in the lab's folder.
func (l *lab) startNginx(name string, workers int, servers string) (*process, error) {
	dir := l.path(name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`daemon off;
user root;
worker_processes %d;
pid %[2]s/nginx.pid;
error_log %[2]s/error.log;
events { worker_connections 4096; }
http {
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 120s;
    keepalive_requests 100000000;
    open_file_cache max=100 inactive=60s;
    client_body_temp_path %[2]s/body;
    proxy_temp_path %[2]s/proxy;
    fastcgi_temp_path %[2]s/fastcgi;
    uwsgi_temp_path %[2]s/uwsgi;
    scgi_temp_path %[2]s/scgi;
%[3]s
}
`, workers, dir, servers)
	if err := l.write(name+".conf", []byte(config)); err != nil {
		return nil, err
	}
	return l.start(name, "nginx", "-p", dir, "-c", l.path(name+".conf"), "-e", dir+"/error.log")
}
