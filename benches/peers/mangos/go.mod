module plugbus/peers/mangos

go 1.25

require plugbus/measure v0.0.0

require (
	github.com/Microsoft/go-winio v0.5.2 // indirect
	go.nanomsg.org/mangos/v3 v3.4.2
	golang.org/x/sys v0.0.0-20210124154548-22da62e12c0c // indirect
)

replace plugbus/measure => ../measure
