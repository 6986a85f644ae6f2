module plugbus/peers/pie

go 1.25

require plugbus/measure v0.0.0

require github.com/natefinch/pie v0.0.0-20170715172608-9a0d72014007

replace plugbus/measure => ../measure
