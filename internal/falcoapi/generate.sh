#!/bin/sh
# Compiles the .proto files; needs protoc on PATH, the Go plugins come from the
# module's tool block.
set -eu
cd "$(dirname "$0")"
plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
GOBIN=$plugins go install google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc
export PATH="$plugins:$PATH"
for name in schema outputs version; do
	protoc -I "$name" -I schema \
		--go_out="$name" --go_opt=paths=source_relative \
		--go-grpc_out="$name" --go-grpc_opt=paths=source_relative \
		"$name.proto"
done
