// Asks /graphql what is typed on the page: a subscription as server-sent events, anything else once.

// By this name the library that styles dialogs looks for it.
window.__webpack_nonce__ = document.currentScript.nonce;

function kindOf(document, name) {
  const operations = (document?.definitions ?? []).filter((one) => one.kind === "OperationDefinition");
  const found = name ? operations.find((one) => one.name?.value === name) : operations[0];
  return found?.operation;
}

function sent(asked, headers, accept, signal) {
  // Where no token was written, the operator's cookie says who asks.
  const written = Object.entries(headers ?? {}).filter(([, value]) => String(value).trim() !== "Bearer");
  return fetch("/graphql", {
    method: "POST",
    headers: { ...Object.fromEntries(written), accept, "content-type": "application/json" },
    body: JSON.stringify(asked),
    signal,
  });
}

async function* told(asked, headers, signal) {
  let text = "";
  try {
    const answer = await sent(asked, headers, "text/event-stream", signal);
    if (!answer.ok) {
      // It was refused as a whole.
      yield await answer.json();
      return;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const blocks = (text + part.value).split("\n\n");
      text = blocks.pop();
      for (const block of blocks) {
        if (block.startsWith("event: next\ndata: ")) yield JSON.parse(block.slice("event: next\ndata: ".length));
        if (block.startsWith("event: complete")) return;
      }
    }
    yield { errors: [{ message: "The connection was cut off. Subscribe again, with the last cursor as after." }] };
  } catch (failure) {
    // Whoever stops it hears nothing more of it.
    if (!signal.aborted) throw failure;
  }
}

function followed(asked, headers) {
  const stopping = new AbortController();
  const events = told(asked, headers, stopping.signal);
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => events.next(),
    return: () => {
      // At once, though the next event may be a day away.
      stopping.abort();
      return events.return();
    },
  };
}

async function fetcher(asked, { headers, documentAST } = {}) {
  if (kindOf(documentAST, asked.operationName) === "subscription") return followed(asked, headers);
  return (await sent(asked, headers, "application/json")).json();
}

// What stays when the page is left. History and tabs do not: they hold headers, and with them tokens.
const STAYS = ["graphiql:query", "graphiql:variables", "graphiql:operationName", "graphiql:theme"];
const gone = new Map();
const storage = {
  get length() {
    return gone.size + localStorage.length;
  },
  getItem: (name) => (STAYS.includes(name) ? localStorage.getItem(name) : (gone.get(name) ?? null)),
  setItem: (name, value) => (STAYS.includes(name) ? localStorage.setItem(name, value) : gone.set(name, value)),
  removeItem: (name) => (STAYS.includes(name) ? localStorage.removeItem(name) : gone.delete(name)),
  clear: () => {
    STAYS.forEach((name) => localStorage.removeItem(name));
    gone.clear();
  },
};

// The keyboard's way leads through an editor, which would keep Tab for itself, and each has a name for whoever hears it.
function openEditors(place) {
  for (const element of place.querySelectorAll(".CodeMirror:not([data-is-open])")) {
    const { CodeMirror: editor } = element;
    element.dataset.isOpen = "";
    editor.addKeyMap({ Tab: false, "Shift-Tab": false });
    // Two of them take turns at one place, whose name is that of the one which is shown.
    editor.on("focus", () => {
      const name = element.closest("[aria-label]")?.getAttribute("aria-label");
      editor.getInputField().setAttribute("aria-label", name ?? "Editor");
    });
  }
}

window.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("explorer");
  new MutationObserver(() => openEditors(place)).observe(place, { childList: true, subtree: true });
  const shown = React.createElement(GraphiQL, {
    fetcher,
    defaultQuery: "{\n  projects {\n    id\n    name\n    status\n  }\n}\n",
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    defaultEditorToolsVisibility: "headers",
    storage,
    shouldPersistHeaders: false,
    showPersistHeadersSettings: false,
  });
  ReactDOM.createRoot(place).render(shown);
});
