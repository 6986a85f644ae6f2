// Go's net/rpc over a Unix socket, with its own encoding, gob.
package main

import (
	"net"
	"net/rpc"
	"os"
	"path/filepath"

	"plugbus/measure"
)

// Text is the plugin's service.
type Text struct{}

// Revert is its method.
func (Text) Revert(text string, reply *string) error {
	*reply = measure.Revert(text)
	return nil
}

func main() {
	if os.Args[1] == "plugin" {
		plugin(os.Args[2])
		return
	}
	directory, err := os.MkdirTemp("", "peer")
	measure.Must(err)
	defer os.RemoveAll(directory)
	path := filepath.Join(directory, "socket")
	process := measure.Start("plugin", path)
	defer process.Process.Kill()
	client, err := rpc.Dial("unix", path)
	measure.Must(err)
	measure.Print(func(text string) (reply string, err error) {
		err = client.Call("Text.Revert", text, &reply)
		return
	})
}

func plugin(path string) {
	measure.Must(rpc.Register(Text{}))
	listener, err := net.Listen("unix", path)
	measure.Must(err)
	measure.Ready()
	rpc.Accept(listener)
}
