// Which key was pressed, by a name that capitals and the system's keyboard do not change: "z", "shift+z", "ctrl+z".

export function keyName(event) {
  const letter = /^[a-z]$/i.test(event.key);
  const parts = [
    (event.ctrlKey || event.metaKey) && "ctrl",
    letter && event.shiftKey && "shift",
    letter ? event.key.toLowerCase() : event.key,
  ];
  return parts.filter(Boolean).join("+");
}

// Keys that go on while they are held; of the others, one press is one deed.
const HELD = ["[", "]", "-", "+", "=", "ArrowLeft", "ArrowRight", "z", "shift+z", "ctrl+z", "ctrl+shift+z", "ctrl+y"];

// ``workOf`` gives what a name does, or nothing; keys belong to the help while it is open, and to fields in use.
export function listenToKeys(workOf, help) {
  addEventListener("keydown", (event) => {
    if (event.target.matches?.("select, input") || help.open || event.altKey) return;
    const work = workOf(keyName(event));
    if (!work) return;
    event.preventDefault();
    if (!event.repeat || HELD.includes(keyName(event))) work();
  });
}
