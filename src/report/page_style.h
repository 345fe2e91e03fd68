// Style and script of the page. The colours of curves and cells can be told apart by the colour-blind (Okabe and Ito; a
// ramp of one hue), and text has a contrast of at least 4.5 to 1 in the light and in the dark.
#pragma once

#include <string_view>

namespace hesse {

inline constexpr std::string_view kPageStyle = R"css(
:root{color-scheme:light dark;--paper:#fff;--ink:#1c1e21;--soft:#555b63;--line:#cfd4da;--box:#f3f5f7;--link:#0b4f9e;
--c0:#0072b2;--c1:#b3560b;--c2:#00715c;--c3:#a63a79;--c4:#555b63}
@media(prefers-color-scheme:dark){:root{--paper:#14171a;--ink:#e6e8ea;--soft:#aeb5bd;--line:#3a4048;--box:#1f242a;
--link:#8ec5ff;--c0:#56b4e9;--c1:#f0a04b;--c2:#3fcfae;--c3:#e79ac6;--c4:#aeb5bd}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:60rem;font:16px/1.5 system-ui,sans-serif;background:var(--paper);color:var(--ink);
overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem}
a{color:var(--link)}.verdict{font-size:1.1rem}.soft,figcaption,caption{color:var(--soft)}
dl.key{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.5rem;margin:1rem 0}
dl.key div{background:var(--box);border:1px solid var(--line);border-radius:.4rem;padding:.5rem .7rem}
dl.key dt{color:var(--soft);font-size:.85rem}dl.key dd{margin:0;font-size:1.1rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;width:100%}caption{text-align:left;padding:.3rem 0}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem .3rem 0;text-align:left;vertical-align:top;
overflow-wrap:normal}
td.long{min-width:14rem;overflow-wrap:anywhere}th[aria-sort],.sortable thead th{cursor:pointer}
figure{margin:1rem 0}svg{max-width:100%;height:auto;display:block}figure{overflow-x:auto}
figure>svg{width:100%;min-width:34rem}
svg text{font:12px system-ui,sans-serif;fill:var(--ink)}.grid{stroke:var(--line)}
.legend{font-size:.85rem;margin:.3rem 0}.legend span{margin-right:1rem;white-space:nowrap}
.key svg,.legend svg.key{display:inline-block;width:36px;height:8px}.legend svg.scale{display:inline-block;width:108px;height:10px}
path{fill:none;stroke-width:2}.s0{stroke:var(--c0)}.s1{stroke:var(--c1);stroke-dasharray:7 3}
.s2{stroke:var(--c2);stroke-dasharray:2 3}.s3{stroke:var(--c3);stroke-dasharray:9 3 2 3}.s4{stroke:var(--c4);stroke-dasharray:12 4}
.f0{fill:var(--c0)}.f1{fill:var(--c1)}.f2{fill:var(--c2)}.f3{fill:var(--c3)}.f4{fill:var(--c4)}
.h0{fill:#e8f1fa}.h1{fill:#cfe2f3}.h2{fill:#b1d0ea}.h3{fill:#8dbbde}.h4{fill:#68a3d0}.h5{fill:#468abf}.h6{fill:#2b70a8}
.h7{fill:#17568a}.h8{fill:#083a66}
@media(prefers-color-scheme:dark){.h0{fill:#10283f}.h1{fill:#173a5a}.h2{fill:#1f4d75}.h3{fill:#296192}.h4{fill:#3977ae}
.h5{fill:#528fc6}.h6{fill:#76a9d8}.h7{fill:#a2c6e8}.h8{fill:#d3e6f7}}
pre{background:var(--box);padding:.6rem;overflow-x:auto}code{font-size:.95em}
@media print{body{max-width:none}section{break-inside:avoid}.wide,figure{overflow:visible}figure>svg{min-width:0}}
)css";

// Sorts a table by the column whose head is pressed; without it the page lacks nothing else.
inline constexpr std::string_view kPageScript = R"js(
document.querySelectorAll('table.sortable').forEach(function(table){
  table.querySelectorAll('thead th').forEach(function(head,column){
    head.tabIndex=0;head.setAttribute('role','columnheader button');
    function sort(){
      var up=head.getAttribute('aria-sort')!=='ascending';
      table.querySelectorAll('thead th').forEach(function(h){h.removeAttribute('aria-sort')});
      head.setAttribute('aria-sort',up?'ascending':'descending');
      var body=table.tBodies[0];
      Array.from(body.rows).sort(function(a,b){
        var x=a.cells[column].textContent,y=b.cells[column].textContent,m=parseFloat(x),n=parseFloat(y);
        var order=isNaN(m)||isNaN(n)?x.localeCompare(y):m-n;
        return up?order:-order;
      }).forEach(function(row){body.appendChild(row)});
    }
    head.addEventListener('click',sort);
    head.addEventListener('keydown',function(e){if(e.key==='Enter'||e.key===' '){e.preventDefault();sort()}});
  });
});
)js";

}  // namespace hesse
