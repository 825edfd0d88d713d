// The room server on gws is a module of its own: nothing else here is written in Go.
module timingle/bench/peers/gws

go 1.26

require github.com/lxzan/gws v1.8.9

require (
	github.com/dolthub/maphash v0.1.0 // indirect
	github.com/klauspost/compress v1.17.9 // indirect
)
