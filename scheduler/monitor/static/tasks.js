// @ts-check
/** Asks Flower's list of tasks for the scheduler's own where they are wanted, and says how many are hidden. */
(() => {
  const $ = /** @type {any} */ (globalThis).jQuery;
  const note = document.getElementById('own-tasks');
  const count = document.getElementById('n-hidden');
  if (!note) return;

  const argument = note.dataset.argument ?? '';
  // https://datatables.net/reference/event/preXhr and xhr, by way of the document: the table comes later.
  $(document).on('preXhr.dt', (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ asked) => {
    asked[argument] = note.dataset.shown;
  });
  $(document).on('xhr.dt', (/** @type {any} */ _, /** @type {any} */ __, /** @type {any} */ answer) => {
    if (count && answer) count.textContent = Number(answer.hidden ?? 0).toLocaleString('en');
  });
})();
