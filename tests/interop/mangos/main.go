// Command mangos speaks protocol 1 with mangos, a Go implementation of SP that shares no code with NNG.
//
//	mangos call URL METHOD [PARAMS as JSON]   sends one request, prints the reply as JSON
//	mangos plugin                             is a plugin with the method revert, as a supervisor starts it
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"go.nanomsg.org/mangos/v3"
	"go.nanomsg.org/mangos/v3/protocol/rep"
	"go.nanomsg.org/mangos/v3/protocol/req"
	"go.nanomsg.org/mangos/v3/protocol/respondent"
	_ "go.nanomsg.org/mangos/v3/transport/ipc"
)

type request struct {
	V        int                `msgpack:"v"`
	Method   string             `msgpack:"method"`
	Params   msgpack.RawMessage `msgpack:"params,omitempty"`
	TTL      uint64             `msgpack:"ttl_ms,omitempty"`
	Instance string             `msgpack:"instance,omitempty"`
}

type fault struct {
	Code    string `msgpack:"code"`
	Message string `msgpack:"message"`
}

type question struct {
	V     int    `msgpack:"v"`
	Round uint64 `msgpack:"round"`
	Want  string `msgpack:"want"`
}

func main() {
	var err error
	switch {
	case len(os.Args) >= 4 && os.Args[1] == "call":
		err = call(os.Args[2], os.Args[3], os.Args[4:])
	case len(os.Args) == 2 && os.Args[1] == "plugin":
		err = plugin()
	default:
		err = fmt.Errorf("usage: mangos call URL METHOD [JSON] | mangos plugin")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mangos:", err)
		os.Exit(1)
	}
}

func call(url, method string, rest []string) error {
	var params any
	if len(rest) > 0 {
		if err := json.Unmarshal([]byte(rest[0]), &params); err != nil {
			return err
		}
	}
	socket, err := req.NewSocket()
	if err != nil {
		return err
	}
	defer socket.Close()
	// A request is sent once: a retry time of 0 keeps mangos from sending it again.
	for option, value := range map[string]any{
		mangos.OptionRetryTime: time.Duration(0), mangos.OptionRecvDeadline: 10 * time.Second,
	} {
		if err := socket.SetOption(option, value); err != nil {
			return err
		}
	}
	if err := socket.Dial(url); err != nil {
		return err
	}
	body, err := msgpack.Marshal(map[string]any{"v": 1, "method": method, "params": params, "ttl_ms": 5000})
	if err != nil {
		return err
	}
	if err := socket.Send(body); err != nil {
		return err
	}
	if body, err = socket.Recv(); err != nil {
		return err
	}
	var reply map[string]any
	if err := msgpack.Unmarshal(body, &reply); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(reply)
}

var info = map[string]any{"version": "0.1.0", "methods": []any{map[string]any{"name": "revert", "doc": "Reverses a text."}}}

func plugin() error {
	leave := make(chan os.Signal, 8)
	signal.Notify(leave, syscall.SIGTERM)
	calls, err := rep.NewSocket()
	if err != nil {
		return err
	}
	if err := calls.Listen(os.Getenv("PLUGBUS_CALL_URL")); err != nil {
		return err
	}
	surveys, err := respondent.NewSocket()
	if err != nil {
		return err
	}
	if err := surveys.SetOption(mangos.OptionDialAsynch, true); err != nil {
		return err
	}
	if err := surveys.SetOption(mangos.OptionReconnectTime, 10*time.Millisecond); err != nil {
		return err
	}
	if err := surveys.Dial(os.Getenv("PLUGBUS_SURVEY_URL")); err != nil {
		return err
	}
	var working sync.Mutex
	go serve(surveys, new(sync.Mutex), answer)
	go serve(calls, &working, func(body []byte) any { return reply(body, func() { leave <- syscall.SIGTERM }) })
	<-leave
	working.Lock() // the call that runs is answered first
	// mangos gives a reply to a goroutine of its own, and does not tell when that has sent it.
	time.Sleep(100 * time.Millisecond)
	return calls.Close()
}

// serve answers what comes in on a socket, one after the other.
func serve(socket mangos.Socket, turn *sync.Mutex, answer func([]byte) any) {
	for {
		body, err := socket.Recv()
		if err != nil {
			return
		}
		turn.Lock()
		if value := answer(body); value != nil {
			if body, err = msgpack.Marshal(value); err == nil {
				_ = socket.Send(body)
			}
		}
		turn.Unlock()
	}
}

func answer(body []byte) any {
	var asked question
	if err := msgpack.Unmarshal(body, &asked); err != nil || asked.V != 1 {
		return nil
	}
	me := map[string]any{"v": 1, "round": asked.Round, "name": os.Getenv("PLUGBUS_NAME"),
		"instance": os.Getenv("PLUGBUS_INSTANCE"), "pid": os.Getpid(), "state": "ready"}
	if asked.Want == "info" {
		me["info"] = info
	}
	return me
}

func reply(body []byte, stop func()) any {
	var asked request
	refuse := func(code, message string) any {
		return map[string]any{"v": 1, "error": fault{code, message}}
	}
	succeed := func(result any) any { return map[string]any{"v": 1, "result": result} }
	if err := msgpack.Unmarshal(body, &asked); err != nil {
		return refuse("bad_message", err.Error())
	}
	if asked.V != 1 {
		return refuse("protocol", "this is protocol 1")
	}
	if asked.Instance != "" && asked.Instance != os.Getenv("PLUGBUS_INSTANCE") {
		return refuse("stale_instance", "another instance was meant")
	}
	switch asked.Method {
	case "$ping":
		return succeed(nil)
	case "$info":
		return succeed(info)
	case "$stats":
		return succeed(map[string]any{})
	case "$cancel":
		return succeed(false)
	case "$stop":
		stop()
		return succeed(nil)
	case "revert":
		var text string
		if err := msgpack.Unmarshal(asked.Params, &text); err != nil {
			return refuse("bad_params", "params must be a string")
		}
		return succeed(reverse(text))
	}
	return refuse("no_method", "there is only revert")
}

func reverse(text string) string {
	runes := []rune(text)
	for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes)
}
