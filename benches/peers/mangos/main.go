// mangos v3, REQ and REP over ipc: the same protocol as NNG, in Go. The text travels as it is.
package main

import (
	"os"
	"path/filepath"
	"sync"

	"go.nanomsg.org/mangos/v3"
	"go.nanomsg.org/mangos/v3/protocol/rep"
	"go.nanomsg.org/mangos/v3/protocol/req"
	_ "go.nanomsg.org/mangos/v3/transport/ipc"

	"plugbus/measure"
)

func main() {
	if os.Args[1] == "plugin" {
		plugin(os.Args[2])
		return
	}
	directory, err := os.MkdirTemp("", "peer")
	measure.Must(err)
	defer os.RemoveAll(directory)
	url := "ipc://" + filepath.Join(directory, "socket")
	process := measure.Start(append([]string{"plugin", url}, os.Args[len(os.Args)-3:]...)...)
	defer process.Process.Kill()
	socket, err := req.NewSocket()
	measure.Must(err)
	measure.Must(socket.Dial(url))
	measure.PrintEach(func() measure.Call {
		// Each caller has one request under way, all on one connection.
		context, err := socket.OpenContext()
		measure.Must(err)
		return func(text string) (string, error) {
			if err := context.Send([]byte(text)); err != nil {
				return "", err
			}
			reply, err := context.Recv()
			return string(reply), err
		}
	})
}

func plugin(url string) {
	socket, err := rep.NewSocket()
	measure.Must(err)
	measure.Must(socket.Listen(url))
	var all sync.WaitGroup
	for range measure.Workers() {
		context, err := socket.OpenContext()
		measure.Must(err)
		all.Go(func() { serve(context) })
	}
	measure.Ready()
	all.Wait()
}

func serve(context mangos.Context) {
	for {
		request, err := context.Recv()
		measure.Must(err)
		measure.Must(context.Send([]byte(measure.Revert(string(request)))))
	}
}
