package main

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const path = "/peer.Text/Revert"

type byGRPC struct{ plugin.NetRPCUnsupportedPlugin }

func (*byGRPC) GRPCServer(_ *plugin.GRPCBroker, server *grpc.Server) error {
	server.RegisterService(&service, texts{})
	return nil
}

func (*byGRPC) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, connection *grpc.ClientConn) (any, error) {
	return grpcClient{connection}, nil
}

type grpcClient struct{ connection *grpc.ClientConn }

func (c grpcClient) Revert(text string) (string, error) {
	reply := new(wrapperspb.StringValue)
	err := c.connection.Invoke(context.Background(), path, wrapperspb.String(text), reply)
	return reply.GetValue(), err
}

// What protoc would generate for one method that takes and returns a string.
var service = grpc.ServiceDesc{
	ServiceName: "peer.Text",
	HandlerType: (*Reverter)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Revert", Handler: handle}},
}

func handle(server any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	request := new(wrapperspb.StringValue)
	if err := decode(request); err != nil {
		return nil, err
	}
	reply, err := server.(Reverter).Revert(request.GetValue())
	return wrapperspb.String(reply), err
}
