#!/usr/bin/env bash
# Looks at a page of `hesse report` as a reader does: at 1280 and 390 pixels, in the light and in the dark.
#
#   tools/render_report.sh PAGE [OUT]     default: build/pictures
#
# Writes OUT/NAME-{1280,390}-{light,dark}.png and the top of the wide ones at half their size, and fails when an element is wider than the page, when a text has less
# contrast than 4.5 to 1, or when the browser reports an error. Skipped, with a reason, where there is no Chromium.
set -euo pipefail

page=${1:?usage: tools/render_report.sh PAGE [OUT]}
out=${2:-build/pictures}
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ]; then
  echo "[pictures] skipped: no chromium; apt-get install chromium"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
name=$(basename "$page" .html)

# Tells the page around it what does not fit and what cannot be read.
cat > "$work/check.js" <<'JS'
addEventListener('load', function () {
  var wrong = [], wide = document.documentElement.clientWidth;
  function rgb(text) { return (text.match(/[\d.]+/g) || []).map(Number); }
  function light(c) {
    var l = c.slice(0, 3).map(function (v) { v /= 255; return v <= 0.04045 ? v / 12.92 : Math.pow((v + 0.055) / 1.055, 2.4); });
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2];
  }
  function behind(e) {
    for (; e; e = e.parentElement) {
      var c = rgb(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  }
  if (document.documentElement.scrollWidth > wide) wrong.push('the page is ' + document.documentElement.scrollWidth + ' wide');
  document.querySelectorAll('body *').forEach(function (e) {
    var text = Array.from(e.childNodes).some(function (n) { return n.nodeType === 3 && n.data.trim(); });
    if (!text || e.tagName === 'SCRIPT' || e.tagName === 'TITLE' || e.closest('details:not([open])')) return;
    var style = getComputedStyle(e), ink = rgb(e.tagName === 'text' ? style.fill : style.color);
    var a = light(ink), b = light(behind(e)), contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) wrong.push(e.tagName + ' "' + e.textContent.slice(0, 30) + '": contrast ' + contrast.toFixed(2));
    if (!e.closest('.wide, figure') && e.getBoundingClientRect().right > wide + 1)
      wrong.push(e.tagName + ' "' + e.textContent.slice(0, 30) + '": ends at ' + e.getBoundingClientRect().right);
  });
  parent.postMessage({height: document.documentElement.scrollHeight, wrong: wrong}, '*');
});
JS
{ sed '/^<\/body>/,$d' "$page"; echo '<script>'; cat "$work/check.js"; echo '</script></body></html>'; } > "$work/page.html"

# The browser has no windows as narrow as a telephone, a frame may be.
around() {  # WIDTH HEIGHT
  cat <<HTML
<!DOCTYPE html><html><head><meta name="color-scheme" content="light dark"><style>body{margin:0}iframe{border:0}</style></head>
<body data-said="nothing"><script>
addEventListener('message', function (e) { document.body.dataset.said = 'height=' + e.data.height + ' wrong=' + e.data.wrong.length + ' ' + e.data.wrong.slice(0, 5).join(' | '); });
</script><iframe src="page.html" width="$1" height="$2"></iframe></body></html>
HTML
}

browse() {  # MODE WIDTH HEIGHT FLAGS...
  local scheme=1
  [ "$1" = dark ] && scheme=0
  "$browser" --headless --no-sandbox --disable-gpu --hide-scrollbars --allow-file-access-from-files \
    --enable-logging=stderr --user-data-dir="$work/profile" --blink-settings="preferredColorScheme=$scheme" \
    --virtual-time-budget=5000 --window-size="$2,$3" "${@:4}" "file://$work/around.html" 2> "$work/log"
  if grep -E 'CONSOLE.*(error|Uncaught|Refused|Failed)' "$work/log"; then
    echo "[pictures] $page: the browser reports an error" >&2
    exit 1
  fi
}

for width in 1280 390; do
  for mode in light dark; do
    around "$width" 2000 > "$work/around.html"
    said=$(browse "$mode" 1280 2000 --dump-dom | sed -n 's/.*data-said="\([^"]*\)".*/\1/p')
    height=$(sed -n 's/^height=\([0-9]*\) .*/\1/p' <<< "$said")
    case $said in
      "height="*" wrong=0 "*) ;;
      *) echo "[pictures] $page, $width pixels, $mode: $said" >&2; exit 1 ;;
    esac
    around "$width" "$height" > "$work/around.html"
    browse "$mode" "$((width < 500 ? 500 : width))" "$height" --screenshot="$work/picture.png" > /dev/null
    mv "$work/picture.png" "$out/$name-$width-$mode.png"
    if [ "$width" = 1280 ]; then
      around 1280 1240 > "$work/around.html"
      browse "$mode" 1280 1240 --force-device-scale-factor=0.5 --screenshot="$work/picture.png"
      mv "$work/picture.png" "$out/$name-$mode.png"
    fi
    echo "[pictures] $out/$name-$width-$mode.png: $height high, nothing too wide, contrast good"
  done
done
