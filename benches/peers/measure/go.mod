module plugbus/measure

go 1.25
