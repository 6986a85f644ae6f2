module plugbus/peers/net-rpc

go 1.25

require plugbus/measure v0.0.0

replace plugbus/measure => ../measure
