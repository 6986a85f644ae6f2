// NATS micro: a service behind nats-server, which is started here and listens on a free port of the loopback alone.
package main

import (
	"bufio"
	"os"
	"os/exec"
	"regexp"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"plugbus/measure"
)

const subject = "text.revert"

func main() {
	if os.Args[1] == "plugin" {
		plugin(os.Args[2])
		return
	}
	broker, url := start()
	defer broker.Process.Kill()
	process := measure.Start("plugin", url)
	defer process.Process.Kill()
	connection, err := nats.Connect(url)
	measure.Must(err)
	measure.Print(func(text string) (string, error) {
		reply, err := connection.Request(subject, []byte(text), 5*time.Second)
		if err != nil {
			return "", err
		}
		return string(reply.Data), nil
	})
}

// The broker says on stderr where it listens.
func start() (*exec.Cmd, string) {
	command := exec.Command("nats-server", "-a", "127.0.0.1", "-p", "-1")
	output, err := command.StderrPipe()
	measure.Must(err)
	measure.Must(command.Start())
	address := regexp.MustCompile(`client connections on (\S+)`)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		if found := address.FindStringSubmatch(lines.Text()); found != nil {
			return command, "nats://" + found[1]
		}
	}
	panic("nats-server said no address")
}

func plugin(url string) {
	connection, err := nats.Connect(url)
	measure.Must(err)
	handler := micro.HandlerFunc(func(request micro.Request) {
		measure.Must(request.Respond([]byte(measure.Revert(string(request.Data())))))
	})
	_, err = micro.AddService(connection, micro.Config{
		Name: "text", Version: "1.0.0", Endpoint: &micro.EndpointConfig{Subject: subject, Handler: handler},
	})
	measure.Must(err)
	measure.Must(connection.Flush())
	measure.Ready()
	select {}
}
