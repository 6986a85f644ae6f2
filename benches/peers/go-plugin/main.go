// hashicorp/go-plugin, by gRPC or by net/rpc: the first argument says which.
package main

import (
	"os"
	"os/exec"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"plugbus/measure"
)

// Reverter is what the plugin offers, whichever way it travels.
type Reverter interface {
	Revert(text string) (string, error)
}

type texts struct{}

func (texts) Revert(text string) (string, error) { return measure.Revert(text), nil }

var (
	handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "PEER", MagicCookieValue: "text"}
	protocols = map[string]plugin.Protocol{"grpc": plugin.ProtocolGRPC, "netrpc": plugin.ProtocolNetRPC}
	kinds     = map[string]plugin.Plugin{"grpc": &byGRPC{}, "netrpc": &byNetRPC{}}
)

func main() {
	if os.Args[1] == "plugin" {
		serve(os.Args[2])
		return
	}
	which := os.Args[1]
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugin.PluginSet{"text": kinds[which]},
		Cmd:              exec.Command(os.Args[0], "plugin", which),
		AllowedProtocols: []plugin.Protocol{protocols[which]},
		Logger:           hclog.NewNullLogger(),
	})
	defer client.Kill()
	protocol, err := client.Client()
	measure.Must(err)
	text, err := protocol.Dispense("text")
	measure.Must(err)
	measure.Print(text.(Reverter).Revert)
}

func serve(which string) {
	config := &plugin.ServeConfig{
		HandshakeConfig: handshake,
		Plugins:         plugin.PluginSet{"text": kinds[which]},
		Logger:          hclog.NewNullLogger(),
	}
	if which == "grpc" {
		config.GRPCServer = plugin.DefaultGRPCServer
	}
	plugin.Serve(config)
}
