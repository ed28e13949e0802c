"""The page's one style sheet, served by itself: the policy of the page allows no style inside of it."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #777;
  --done: #3a7; --failed: #d33; --running: #38d; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 0 1rem 2rem; font: 15px/1.45 system-ui, sans-serif; }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; padding: .75rem 0; }
h1 { font-size: 1.3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin-top: 1.8rem; }
a { color: LinkText; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }
th, td, nav { border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 4rem; }
code, pre { font: 13px/1.4 ui-monospace, monospace; }
pre { overflow-x: auto; padding: .6rem; border: 1px solid var(--line); border-radius: .3rem; }
.bar { display: block; width: 100%; min-width: 8rem; height: .8rem; background: #8882; border-radius: 2px; }
.bar rect { fill: var(--done); }
.bar.failed rect { fill: var(--failed); }
.bar.running rect { fill: var(--running); }
.bad { color: var(--failed); }
.empty, .dim { color: var(--dim); }
.why { border-left: 3px solid var(--running); padding: .1rem .8rem; margin: .8rem 0; }
@media (max-width: 40rem) { body { padding: 0 .6rem 2rem; font-size: 14px; } }
"""
