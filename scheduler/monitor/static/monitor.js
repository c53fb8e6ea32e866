// @ts-check
/** Keeps a page's live part up to date, and hides the rows that are not asked for. */
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

  function showRows() {
    const words = (filter?.value ?? '').toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of live?.querySelectorAll('tbody tr') ?? []) {
      const told = (row.textContent ?? '').toLowerCase();
      row.toggleAttribute('hidden', !words.every((word) => told.includes(word)));
    }
  }

  /** @param {boolean} well @param {string} told */
  function tell(well, told) {
    dot?.classList.toggle('status-dot-live', well);
    dot?.classList.toggle('status-dot-error', !well);
    if (text) text.textContent = told;
  }

  async function refresh() {
    try {
      const answer = await fetch(source, { credentials: 'same-origin' });
      if (!answer.ok) throw new Error(`the monitor answers ${answer.status}`);
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      live?.replaceChildren(...page.body.childNodes);
      showRows();
      tell(true, `Live, ${new Date().toLocaleTimeString()}`);
    } catch (error) {
      tell(false, `Not live: ${error instanceof Error ? error.message : error}`);
    }
  }

  async function keepUp() {
    if (!document.hidden) await refresh();
    setTimeout(keepUp, intervalMs);
  }

  filter?.addEventListener('input', showRows);
  document.addEventListener('visibilitychange', () => !document.hidden && refresh());
  setTimeout(keepUp, intervalMs);
})();
