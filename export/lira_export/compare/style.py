"""How the page looks: light, readable on a phone."""

STYLE = """\
:root { color-scheme: light; --ink: #1d1f23; --soft: #667; --line: #e3e4e8; --paper: #fff; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem clamp(1rem, 4vw, 3rem) 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.25; font-weight: 650; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; font-weight: 650; margin: 3rem 0 .25rem; }
p, .remarks { color: var(--soft); margin: 0 0 .75rem; max-width: 46rem; }
.remarks { padding-left: 1.2rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; margin: .75rem 0 1rem; }
figure { margin: 0; flex: 1 1 9.5rem; max-width: 24rem; }
img { display: block; width: 100%; height: auto; border-radius: 6px; }
.plot { max-width: 46rem; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; column-gap: .75rem; padding: .35rem 0;
  font-size: .9rem; }
figcaption b { font-weight: 600; }
figcaption span { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; min-width: 100%; overflow-wrap: normal; }
th, td { text-align: right; padding: .45rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { color: var(--soft); font-weight: 500; }
th:first-child { text-align: left; padding-left: 0; font-weight: 600; position: sticky; left: 0;
  background: var(--paper); }
@media (max-width: 30rem) { th, td { padding: .45rem .5rem; } }
"""
