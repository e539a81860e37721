// What programs in JavaScript do with GraphQL: each of three clients asks and subscribes as the front end does.
//
// It is given one object as its argument: `http` and `ws`, where GraphQL is; `token`; and `documents` with the `variables` of
// each. It writes a line of JSON for everything that a client is told, and ends once its input is closed.

import process from "node:process";
import { createClient as overEvents } from "graphql-sse";
import { createClient as overSocket } from "graphql-ws";
import { createClient as overOlderSocket } from "graphql-ws-5";
import WebSocket from "ws";

const given = JSON.parse(process.argv[2]);
const authorization = `Bearer ${given.token}`;
const socket = { url: given.ws, webSocketImpl: WebSocket, connectionParams: { Authorization: authorization } };
const clients = {
  // The front end's.
  "graphql-ws 5": overOlderSocket(socket),
  "graphql-ws 6": overSocket(socket),
  "graphql-sse": overEvents({ url: given.http, headers: { Authorization: authorization } }),
};

function tell(client, document, what) {
  process.stdout.write(`${JSON.stringify({ client, document, ...what })}\n`);
}

function failure(error) {
  // What a socket's close says is an event, and what a document's errors say is a list.
  return { failed: Array.isArray(error) ? error : `${error?.code ?? ""} ${error?.reason ?? error?.message ?? error}`.trim() };
}

for (const [name, client] of Object.entries(clients)) {
  for (const [document, { query, variables, every }] of Object.entries(given.documents)) {
    const ask = () =>
      client.subscribe(
        { query, variables },
        {
          next: (answer) => tell(name, document, { answer }),
          error: (error) => tell(name, document, failure(error)),
          complete: () => tell(name, document, { complete: true }),
        },
      );
    ask();
    // A query is asked again and again.
    if (every) setInterval(ask, every);
  }
}

process.stdin.resume().on("end", async () => {
  await Promise.all(Object.values(clients).map((client) => client.dispose()));
  process.exit(0);
});
