// natefinch/pie: net/rpc over the plugin's standard input and output.
package main

import (
	"os"

	"github.com/natefinch/pie"

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
		provider := pie.NewProvider()
		measure.Must(provider.RegisterName("Text", Text{}))
		provider.Serve()
		return
	}
	client, err := pie.StartProvider(os.Stderr, os.Args[0], "plugin")
	measure.Must(err)
	defer client.Close()
	measure.Print(func(text string) (reply string, err error) {
		err = client.Call("Text.Revert", text, &reply)
		return
	})
}
