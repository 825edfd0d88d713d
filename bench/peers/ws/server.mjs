// A plain room server on ws, for the benchmark to compare the gateway with: what Node's usual WebSocket library does
// with the same sockets and the same messages, but without a log, members or a check of who may say what.
//
// How it is written, and why:
// - Sender.frame, which ws exports, builds the frame once; the same buffer is then written to every member's TCP
//   socket, the one that Node hands over with the upgrade. ws itself only ever writes whole frames to it (pongs, close)
//   and holds none back, because compression is off: so the two can take turns.
// - A socket is corked at its first frame and uncorked once everything that had arrived is read: however many messages
//   came in together, each member costs one system call. This is the use Node's documentation names for cork().
// - One thread, as a room in ws is: more would need a broker between them.
// - A member that leaves more than 32 MiB unread is dropped, or it would fill the memory for all.
// - clientTracking is off (the rooms know their sockets); ws checks the text's UTF-8 and sets TCP_NODELAY by itself.
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { Sender, WebSocket, WebSocketServer } from 'ws';

const UNREAD_MAX = 32 * 1024 * 1024;
const BACKLOG = 4096;
const TEXT = { fin: true, opcode: 1, mask: false, readOnly: true, rsv1: false };

const { values } = parseArgs({ options: { listen: { type: 'string', default: '127.0.0.1:8080' } } });
const { hostname, port } = new URL(`tcp://${values.listen}`);

/** Room id to its members: `{ ws, tcp }`. */
const rooms = new Map();
/** The members whose sockets are corked. */
const corked = new Set();

function tell(members, data) {
  const frame = Buffer.concat(Sender.frame(data, TEXT));
  if (corked.size === 0) setImmediate(uncorkAll);
  for (const member of members) {
    if (member.ws.readyState !== WebSocket.OPEN) continue;
    if (!corked.has(member)) {
      corked.add(member);
      member.tcp.cork();
    }
    member.tcp.write(frame);
  }
}

function uncorkAll() {
  for (const member of corked) {
    member.tcp.uncork();
    if (member.ws.bufferedAmount > UNREAD_MAX) member.ws.terminate();
  }
  corked.clear();
}

function enter(id, ws, tcp) {
  const members = rooms.get(id) ?? new Set();
  rooms.set(id, members);
  const member = { ws, tcp };
  members.add(member);

  ws.on('message', (data, isBinary) => {
    if (!isBinary) tell(members, data);
  });
  // What went wrong is told again as a close; without a listener it would end the process.
  ws.on('error', () => {});
  ws.on('close', () => {
    members.delete(member);
    if (members.size === 0 && rooms.get(id) === members) rooms.delete(id);
  });
}

const server = createServer({ noDelay: true }, (request, response) => {
  response.writeHead(request.url === '/health' ? 200 : 404).end();
});
const upgrades = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false });

server.on('upgrade', (request, tcp, head) => {
  const path = request.url.split('?', 1)[0];
  if (!path.startsWith('/rooms/')) {
    tcp.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    return;
  }
  upgrades.handleUpgrade(request, tcp, head, (ws) => enter(path.slice('/rooms/'.length), ws, tcp));
});
server.listen({ host: hostname, port: Number(port), backlog: BACKLOG });
