// @ts-check
/** Keeps a page's live part up to date; shows the rows that match the filter, of long tables the first. */
(() => {
  // Workers publish their health, and autoscaling decides, every five seconds.
  const intervalMs = 5000;
  const live = document.getElementById('live');
  const dot = document.getElementById('live-dot');
  const text = document.getElementById('live-text');
  const filter = /** @type {HTMLInputElement | null} */ (document.getElementById('filter'));
  if (!live || !dot || !text) return;

  const source = new URL(window.location.href);
  source.searchParams.set('live', '1');
  // A page that was opened as http://user:password@... may not fetch such an address.
  source.username = source.password = '';

  // Tables, by their class, that the reader wants to see whole.
  const whole = new Set();

  function showRows() {
    const tables = live?.querySelectorAll('table') ?? [];
    for (const table of tables) if (table.classList.contains('rows')) showRowsOf(table);
  }

  /** @param {HTMLTableElement} table */
  function showRowsOf(table) {
    const words = (filter?.value ?? '').toLowerCase().split(/\s+/).filter(Boolean);
    const limit = whole.has(table.className) ? Infinity : Number(table.dataset.limit ?? Infinity);
    let matching = 0;
    for (const row of table.querySelectorAll('tbody tr')) {
      const content = (row.textContent ?? '').toLowerCase();
      const matches = words.every((word) => content.includes(word));
      matching += Number(matches);
      row.toggleAttribute('hidden', !matches || matching > limit);
    }
    sayHowMany(table, Math.min(matching, limit), matching);
  }

  /** Says how many rows are not shown, with a button that shows them. @param {HTMLTableElement} table @param {number} shown @param {number} matching */
  function sayHowMany(table, shown, matching) {
    const below = table.nextElementSibling;
    if (below?.classList.contains('rest')) below.remove();
    if (shown === matching) return;
    const note = document.createElement('p');
    note.className = 'rest';
    note.textContent = `The first ${shown} of ${matching.toLocaleString('en')} ${table.dataset.unit ?? 'rows'}. `;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'pill';
    button.textContent = 'Show all';
    button.addEventListener('click', () => {
      whole.add(table.className);
      showRows();
    });
    note.append(button);
    table.after(note);
  }

  /** @param {boolean} isLive @param {string} message */
  function showState(isLive, message) {
    dot?.classList.toggle('status-dot-live', isLive);
    dot?.classList.toggle('status-dot-error', !isLive);
    if (text) text.textContent = message;
  }

  async function refresh() {
    try {
      const answer = await fetch(source, { credentials: 'same-origin' });
      if (!answer.ok) throw new Error(`the monitor answers ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      // What the reader opened or closed stays so.
      for (const box of live?.querySelectorAll('details') ?? []) {
        page.getElementById(box.id)?.toggleAttribute('open', box.open);
      }
      live?.replaceChildren(...page.body.childNodes);
      showRows();
      showState(true, `Live, ${new Date().toLocaleTimeString()}`);
    } catch (error) {
      showState(false, `Not live: ${error instanceof Error ? error.message : error}`);
    }
  }

  async function keepUp() {
    if (!document.hidden) await refresh();
    setTimeout(keepUp, intervalMs);
  }

  filter?.addEventListener('input', showRows);
  document.addEventListener('visibilitychange', () => !document.hidden && refresh());
  showRows();
  setTimeout(keepUp, intervalMs);
})();
