package main

import (
	"net/rpc"

	"github.com/hashicorp/go-plugin"
)

type byNetRPC struct{}

func (*byNetRPC) Server(*plugin.MuxBroker) (any, error) { return &netServer{texts{}}, nil }

func (*byNetRPC) Client(_ *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return netClient{client}, nil
}

type netServer struct{ to Reverter }

func (s *netServer) Revert(text string, reply *string) (err error) {
	*reply, err = s.to.Revert(text)
	return
}

type netClient struct{ client *rpc.Client }

func (c netClient) Revert(text string) (reply string, err error) {
	err = c.client.Call("Plugin.Revert", text, &reply)
	return
}
