// A plain room server on gws, for the benchmark to compare the gateway with: what Go's fastest WebSocket library does
// with the same sockets and the same messages, but without a log, members or a check of who may say what.
//
// How it is written, and why:
//   - One Broadcaster per message: the frame is built once, and every member is sent the same bytes.
//   - Broadcast only queues; gws writes a socket's queue in a goroutine of its own, so a slow socket holds up nobody.
//     gws sets no bound to that queue and does not tell its length: a socket that never reads is kept and costs memory.
//   - One lock per room, held while a message is queued: all members see one order, rooms do not wait for each other.
//   - The loop that reads a socket runs outside of its HTTP handler, as gws advises, so that the request can be freed.
//   - ParallelEnabled stays off, because a socket's messages must stay in order.
//   - CheckUtf8Enabled is on: a member's browser would close on text that is none, and the other peers check it too.
//   - Compression is off unless asked for; TCP_NODELAY is what Go sets on every connection.
package main

import (
	"flag"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/lxzan/gws"
)

// Where a socket's session keeps its seat.
const seatKey = "seat"

// A room's sockets.
type room struct {
	id      string
	mu      sync.Mutex
	members []*seat
}

// A socket's place in a room; the index makes leaving cheap in a large one.
type seat struct {
	socket *gws.Conn
	room   *room
	index  int
}

// All rooms in which somebody is. The lock on the map is taken before a room's own.
type rooms struct {
	mu   sync.Mutex
	byID map[string]*room
}

func (all *rooms) enter(id string, socket *gws.Conn) *seat {
	all.mu.Lock()
	defer all.mu.Unlock()
	entered, open := all.byID[id]
	if !open {
		entered = &room{id: id}
		all.byID[id] = entered
	}
	entered.mu.Lock()
	defer entered.mu.Unlock()
	taken := &seat{socket: socket, room: entered, index: len(entered.members)}
	entered.members = append(entered.members, taken)
	return taken
}

func (all *rooms) leave(left *seat) {
	all.mu.Lock()
	defer all.mu.Unlock()
	left.room.mu.Lock()
	defer left.room.mu.Unlock()
	members := left.room.members
	last := len(members) - 1
	members[left.index] = members[last]
	members[left.index].index = left.index
	members[last] = nil
	left.room.members = members[:last]
	if last == 0 {
		delete(all.byID, left.room.id)
	}
}

func (r *room) tell(text []byte) {
	broadcaster := gws.NewBroadcaster(gws.OpcodeText, text)
	r.mu.Lock()
	for _, member := range r.members {
		// An error here is a socket about to leave: gws has closed it, or will.
		_ = broadcaster.Broadcast(member.socket)
	}
	r.mu.Unlock()
	_ = broadcaster.Close()
}

// What gws calls on a socket.
type handler struct {
	gws.BuiltinEventHandler
	rooms *rooms
}

func (h *handler) OnMessage(socket *gws.Conn, message *gws.Message) {
	// The Broadcaster has copied the text by the time this buffer goes back to its pool.
	defer message.Close()
	if message.Opcode != gws.OpcodeText {
		return
	}
	if taken, ok := seatOf(socket); ok {
		taken.room.tell(message.Bytes())
	}
}

func (h *handler) OnClose(socket *gws.Conn, _ error) {
	if taken, ok := seatOf(socket); ok {
		h.rooms.leave(taken)
	}
}

// OnPing says back what was said; gws's own handler answers with nothing in it.
func (h *handler) OnPing(socket *gws.Conn, payload []byte) {
	_ = socket.WritePong(payload)
}

func seatOf(socket *gws.Conn) (*seat, bool) {
	value, _ := socket.Session().Load(seatKey)
	taken, ok := value.(*seat)
	return taken, ok
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address and port")
	flag.Parse()

	all := &rooms{byID: map[string]*room{}}
	upgrader := gws.NewUpgrader(&handler{rooms: all}, &gws.ServerOption{CheckUtf8Enabled: true})

	serve := func(w http.ResponseWriter, r *http.Request) {
		id, isRoom := strings.CutPrefix(r.URL.EscapedPath(), "/rooms/")
		switch {
		case isRoom:
			socket, err := upgrader.Upgrade(w, r)
			if err != nil {
				return // gws has answered already
			}
			socket.Session().Store(seatKey, all.enter(id, socket))
			go socket.ReadLoop()
		case r.URL.Path == "/health":
			w.WriteHeader(http.StatusOK)
		default:
			http.NotFound(w, r)
		}
	}
	server := &http.Server{Addr: *listen, Handler: http.HandlerFunc(serve), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
