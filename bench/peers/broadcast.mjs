// The broadcast server that everybody writes first: whatever one client says goes to all others.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("message", (data) => {
    for (const client of server.clients) if (client !== socket) client.send(data, { binary: false });
  });
  socket.on("error", () => socket.terminate());
});
