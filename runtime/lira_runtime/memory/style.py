"""How the report looks, by light and by dark, and the colours of what a chart shows."""

INK, SOFT, BAND = "#1d1f23", "#5b606b", "#f3f4f7"
ANONYMOUS, FILE_BACKED, BUDGET = "#4a62c4", "#86bcb2", "#c0392b"
"""By light, for the picture too."""

STYLE = f"""\
:root {{ color-scheme: light dark; --ink: {INK}; --soft: {SOFT}; --line: #e1e3e8; --paper: #fff; --band: {BAND};
  --anonymous: {ANONYMOUS}; --file: {FILE_BACKED}; --idle: #a3a9b4; --working: #e2a03f; --budget: {BUDGET}; }}
@media (prefers-color-scheme: dark) {{ :root {{ --ink: #e8eaee; --soft: #a3a8b3; --line: #33363d; --paper: #16181c;
  --band: #1f2228; --anonymous: #7288ea; --file: #4c867d; --idle: #6d7380; --working: #c4842a;
  --budget: #ff8b7b; }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; max-width: 72rem; padding: 2rem clamp(1rem, 4vw, 3rem) 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }}
h1 {{ font-size: clamp(1.4rem, 4vw, 2rem); line-height: 1.25; font-weight: 650; margin: 0 0 .5rem; }}
h2 {{ font-size: 1.1rem; font-weight: 650; margin: 3rem 0 .25rem; }}
h3 {{ font-size: .95rem; font-weight: 600; margin: 1.5rem 0 0; }}
p {{ color: var(--soft); margin: 0 0 .75rem; max-width: 46rem; }}
dl {{ margin: 0; }} dd {{ margin: 0; }}
.figures {{ display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1.25rem 0; }}
.figures dt {{ color: var(--soft); font-size: .85rem; }}
.figures dd {{ font-size: 1.9rem; font-weight: 650; line-height: 1.2; }}
.figures .over dd {{ color: var(--budget); }}
svg {{ display: block; width: 100%; min-width: 40rem; height: auto; font-size: 12px; fill: var(--ink); }}
.band0 {{ fill: var(--band); }} .band1 {{ fill: none; pointer-events: all; }}
polygon.anonymous {{ fill: var(--anonymous); pointer-events: none; }}
polygon.file {{ fill: var(--file); pointer-events: none; }}
.grid {{ stroke: var(--line); }} .lead {{ stroke: var(--soft); stroke-opacity: .5; }}
.budget {{ stroke: var(--budget); stroke-width: 1.5; stroke-dasharray: 6 4; }}
.soft {{ fill: var(--soft); }} .end {{ text-anchor: end; }}
text.over {{ fill: var(--budget); font-weight: 600; }}
.phase {{ font-weight: 600; text-anchor: middle; }}
text.phase, text.over {{ paint-order: stroke; stroke: var(--paper); stroke-width: 4px; }}
.key {{ color: var(--ink); font-weight: 600; margin-right: .75rem; white-space: nowrap; }}
.key::before {{ content: ""; display: inline-block; width: .8em; height: .8em; border-radius: 2px;
  margin-right: .4em; vertical-align: -.05em; background: var(--mine); }}
.anonymous, .loaded {{ --mine: var(--anonymous); }} .file, .mapped {{ --mine: var(--file); }}
.idle {{ --mine: var(--idle); }} .working {{ --mine: var(--working); }}
.bars {{ display: grid; grid-template-columns: max-content 1fr; gap: .5rem 1rem; align-items: center;
  margin-bottom: 1.25rem; }}
.bars dt {{ font-weight: 600; }}
.bars dd {{ display: flex; align-items: center; height: 1.6rem; padding-right: 4.5rem; }}
.bars span {{ height: 100%; background: var(--mine); flex-shrink: 0; }}
.bars i {{ font-style: normal; padding-left: .6rem; white-space: nowrap; }}
.facts {{ display: grid; grid-template-columns: max-content 1fr; gap: .35rem 1.25rem; max-width: 52rem; }}
.facts dt {{ font-weight: 600; }} .facts dd {{ color: var(--soft); }}
.scroll {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-size: .92rem; min-width: 100%; overflow-wrap: normal; }}
th, td {{ text-align: right; padding: .4rem .75rem; border-bottom: 1px solid var(--line); white-space: nowrap; }}
.two td:nth-child(2), .two th:nth-child(2) {{ text-align: left; }}
thead th {{ color: var(--soft); font-weight: 500; }}
th:first-child {{ text-align: left; padding-left: 0; font-weight: 600; position: sticky; left: 0;
  background: var(--paper); }}
@media (max-width: 30rem) {{ th, td {{ padding: .4rem .5rem; }} .facts {{ grid-template-columns: 1fr; }}
  .facts dd {{ margin-bottom: .5rem; }} }}
"""
