// Draws a run: lanes per host on one canvas, an overview above it, and what was clicked on beside it.
// All texts reach the document as text, never as markup. Times are microseconds.
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const byId = (id) => document.getElementById(id);
  const lanesCanvas = byId('lanes'), overviewCanvas = byId('overview'), stage = byId('stage');
  const canvas = lanesCanvas.getContext('2d'), overview = overviewCanvas.getContext('2d');

  // ---- What there is to draw ------------------------------------------------------------------------------------

  const ROLES = [
    ['encoder', 'Encoders'], ['origin', 'Origins'], ['edge', 'Edges'], ['viewer', 'Viewers'], ['other', 'Others'],
  ];
  // Shapes differ as well as colours: nobody has to tell orange from red.
  const LOOKS = {
    violation: { color: 'stall', shape: 'star', size: 8, title: 'rule broken' },
    fatal: { color: 'stall', shape: 'cross', size: 6, title: 'viewer gives up' },
    fault: { color: 'fault', shape: 'diamond', size: 6, title: 'fault' },
    warning: { color: 'warning', shape: 'triangle', size: 5.5, title: 'warning' },
    trouble: { color: 'trouble', shape: 'square', size: 4.5, title: 'viewer’s trouble' },
    event: { color: 'event', shape: 'circle', size: 4.5, title: 'event' },
    connection: { color: 'connection', shape: 'ring', size: 3.5, title: 'connection' },
    http: { color: 'http', shape: 'tick', size: 5, title: 'HTTP' },
    part: { color: 'part', shape: 'tick', size: 4, title: 'part' },
    timer: { color: 'timer', shape: 'tick', size: 3, title: 'timer' },
    bytes: { color: 'bytes', shape: 'tick', size: 2.5, title: 'bytes' },
  };
  const looks = data.categories.map((name) => LOOKS[name]);
  const categoryOf = (name) => data.categories.indexOf(name);
  const FIRST_QUIET = categoryOf('http');
  const BYTES = categoryOf('bytes');
  const isQuiet = (category) => category >= FIRST_QUIET;
  const SPANS = {
    down: { fill: 'fault-fill', ink: 'fault', hatch: true }, dark: { fill: 'fault-fill', ink: 'fault', hatch: true },
    paused: { fill: 'held-fill', ink: 'held' }, stopping: { fill: 'held-fill', ink: 'held' },
    cut: { fill: 'cut-fill', ink: 'fault', hatch: true }, held: { fill: 'held-fill', ink: 'held' },
    pull: { fill: 'pull-fill', ink: 'pull' }, failover: { fill: 'failover-fill', ink: 'failover' },
  };
  const END = Math.max(data.end, 1);

  const sum = (deltas) => {
    const times = new Float64Array(deltas.length);
    let at = 0;
    for (let i = 0; i < deltas.length; i++) times[i] = (at += deltas[i]);
    return times;
  };
  /** The first index whose time is not before `at`. */
  const lowerBound = (times, at) => {
    let low = 0, high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < at) low = middle + 1; else high = middle;
    }
    return low;
  };

  const lanes = [];
  for (const [role, title] of ROLES) {
    data.hosts.forEach((host, number) => {
      if (host.role === role) lanes.push({ host, number, role, title, name: host.name });
    });
  }
  const laneOf = [];
  for (const lane of lanes) {
    laneOf[lane.number] = lane;
    lane.t = sum(lane.host.events.t);
    lane.category = Uint8Array.from(lane.host.events.category);
    lane.label = Uint32Array.from(lane.host.events.label);
    lane.detail = Uint32Array.from(lane.host.events.detail);
    lane.hits = [];
    lane.spans = [];
    lane.down = [];
    // Events by category: the loud ones are found, and drawn last, without passing through the packets.
    lane.by = data.categories.map(() => []);
    for (let i = 0; i < lane.t.length; i++) lane.by[lane.category[i]].push(i);
    lane.by = lane.by.map((list) => ({ index: Uint32Array.from(list), t: Float64Array.from(list, (i) => lane.t[i]) }));
  }

  const raw = data.messages;
  const messages = {
    t: sum(raw.t), flight: Float64Array.from(raw.flight), span: Float64Array.from(raw.span),
    from: Uint16Array.from(raw.from), to: Uint16Array.from(raw.to), conn: raw.conn, cargo: Uint8Array.from(raw.cargo),
    count: raw.count, bytes: raw.bytes, text: raw.text,
  };
  const CARGO = data.cargos.map((name) => ({
    name,
    color: { RST: 'fault', refused: 'fault', FIN: 'connection', SYN: 'connection', 'SYN+ACK': 'connection',
      data: 'message', datagram: 'message' }[name] || 'http',
    important: ['RST', 'refused', 'FIN'].includes(name),
  }));
  let longestFlight = 0;
  for (let i = 0; i < messages.t.length; i++) {
    longestFlight = Math.max(longestFlight, Math.max(messages.flight[i], 0) + messages.span[i]);
  }

  const CONDITION_TEXT = { down: 'down', dark: 'without power', paused: 'paused', stopping: 'stopping' };
  for (const lane of lanes) {
    lane.host.conditions.forEach(([at, name], i) => {
      const next = lane.host.conditions[i + 1];
      const until = next ? next[0] : null;
      if (name === 'running' || until === at) return;
      // A viewer that goes away is no fault.
      if (lane.host.viewer && (name === 'down' || name === 'dark')) return;
      lane.spans.push({ kind: name, since: at, until, label: CONDITION_TEXT[name], detail: '', timed: true });
      lane.down.push([at, until === null ? END : until, name]);
    });
    const cuts = new Map();
    for (const wire of data.wires) {
      if (wire.from !== lane.number && wire.to !== lane.number) continue;
      const key = `${wire.since} ${wire.until} ${wire.held}`;
      if (!cuts.has(key)) cuts.set(key, { wire, out: new Set(), in: new Set() });
      const cut = cuts.get(key);
      if (wire.from === lane.number) cut.out.add(data.hosts[wire.to].name);
      else cut.in.add(data.hosts[wire.from].name);
    }
    for (const { wire, out, in: into } of cuts.values()) {
      const peers = [...new Set([...out, ...into])];
      const arrow = out.size && into.size ? '⇄' : out.size ? '→' : '←';
      const who = peers.length > 2 ? `${peers.length} hosts` : peers.join(', ');
      lane.spans.push({
        kind: wire.held ? 'held' : 'cut', since: wire.since, until: wire.until, timed: true,
        label: `${wire.held ? 'held' : 'cut'} ${arrow} ${who}`,
        detail: [out.size ? `to ${[...out].join(', ')}` : '', into.size ? `from ${[...into].join(', ')}` : '']
          .filter(Boolean).join('\n'),
      });
    }
    if (lane.host.viewer) {
      const gaps = lane.host.viewer.gaps.slice().sort((a, b) => a[0] - b[0]);
      lane.gaps = [];
      for (const [since, until, of] of gaps) {
        const last = lane.gaps[lane.gaps.length - 1];
        if (last && since < last.until) {
          last.until = Math.max(last.until, until);
          last.of.add(of);
        } else {
          lane.gaps.push({ since, until, of: new Set([of]) });
        }
      }
      lane.levels = Float64Array.from(lane.host.viewer.levels, (level) => level[0]);
    }
  }
  const streams = data.hosts.map(() => new Set());
  for (const span of data.spans) streams[span.host].add(span.stream);
  for (const span of data.spans) {
    laneOf[span.host].spans.push({
      kind: span.failover ? 'failover' : 'pull', since: span.since, until: span.until, timed: span.until === null,
      silent: span.silent,
      label: streams[span.host].size > 1 ? `${span.stream.split('/').pop()}: ${span.label}` : span.label,
      detail: `${span.stream}\n${span.detail}`,
    });
  }
  /** Spans that overlap lie in rows of their own. When these are full, the others share the last one as bands. */
  const ROWS_MAX = 5;
  for (const lane of lanes) {
    for (const span of lane.spans) span.begin = span.silent ?? span.since;
    lane.spans.sort((a, b) => a.begin - b.begin || (b.until ?? Infinity) - (a.until ?? Infinity));
    const ends = [], lasts = [];
    lane.bands = [];
    for (const span of lane.spans) {
      // A short span needs room for its text: it is written behind it.
      const end = Math.max(span.until ?? Infinity, span.since + END * 0.04);
      let row = ends.findIndex((free) => free <= span.begin);
      if (row < 0 && ends.length >= ROWS_MAX - 1) {
        const band = lane.bands[lane.bands.length - 1], until = span.until ?? END;
        if (band && span.begin <= band.until && span.kind === band.kind) {
          band.until = Math.max(band.until, until);
          band.count++;
        } else {
          lane.bands.push({ kind: span.kind, since: span.begin, until, count: 1 });
        }
        span.row = ROWS_MAX - 1;
        span.crowded = true;
        continue;
      }
      if (row < 0) row = ends.length;
      ends[row] = Math.max(ends[row] || 0, end);
      span.row = row;
      span.next = null;
      if (lasts[row]) lasts[row].next = span;
      lasts[row] = span;
    }
    lane.rows = lane.bands.length ? ROWS_MAX : ends.length;
  }
  const violations = data.violations.map((violation) => ({
    ...violation, lane: lanes.find((lane) => lane.name === violation.host) || null,
  }));
  let bufferMax = 1e6;
  for (const lane of lanes) {
    for (const level of lane.host.viewer ? lane.host.viewer.levels : []) bufferMax = Math.max(bufferMax, level[1]);
  }

  // ---- Words ----------------------------------------------------------------------------------------------------

  const clock = (us, digits) => {
    const sign = us < 0 ? '−' : '';
    const all = Math.abs(us) / 1e6;
    if (END < 600e6) return `${sign}${all.toFixed(digits)} s`;
    const hours = Math.floor(all / 3600), minutes = Math.floor(all / 60) % 60, rest = all % 60;
    const width = digits ? digits + 3 : 2;
    return `${sign}${hours}:${String(minutes).padStart(2, '0')}:${rest.toFixed(digits).padStart(width, '0')}`;
  };
  const lasting = (us) => {
    if (us < 1e3) return `${us} µs`;
    if (us < 10e3) return `${(us / 1e3).toFixed(1)} ms`;
    if (us < 1e6) return `${Math.round(us / 1e3)} ms`;
    return us < 100e6 ? `${(us / 1e6).toFixed(2)} s` : `${Math.round(us / 1e6)} s`;
  };
  const count = (number, what) => `${number.toLocaleString('en')} ${what}${number === 1 ? '' : 's'}`;
  const spanText = (span) =>
    span.timed ? `${span.label} ${lasting((span.until ?? END) - span.since)}${span.until === null ? '…' : ''}` : span.label;

  // ---- State ----------------------------------------------------------------------------------------------------

  const PAD = END * 0.015;
  const WHOLE = [-PAD, END + PAD];
  let view = WHOLE.slice();
  let scroll = 0;
  let selected = null;
  let hits = [], hit = -1, words = [];
  const hidden = new Set();
  let showMessages = true;
  let width = 0, height = 0, gutter = 150, labelRows = 2, total = 0;
  let arrows = false;
  const AXIS = 24;
  const colors = {};

  const readColors = () => {
    const style = getComputedStyle(document.documentElement);
    for (const name of ['paper', 'panel', 'ink', 'soft', 'line', 'band', 'hit', 'accent', 'on-accent', 'fault', 'fault-fill',
      'warning', 'trouble', 'event', 'connection', 'http', 'part', 'timer', 'bytes', 'running', 'paused', 'stopping', 'down',
      'pull', 'pull-fill', 'failover', 'failover-fill', 'cut-fill', 'held-fill', 'held', 'buffer', 'buffer-fill', 'stall',
      'gap', 'message', 'density']) colors[name] = style.getPropertyValue(`--${name}`).trim();
  };

  const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';
  const BOLD = `600 ${FONT}`;
  const widths = new Map();
  const textWidth = (text) => {
    let known = widths.get(text);
    if (known === undefined) {
      if (widths.size > 20000) widths.clear();
      widths.set(text, (known = canvas.measureText(text).width));
    }
    return known;
  };
  /** `text`, shortened to `room`; nothing where not even a few letters fit. */
  const fitted = (text, room) => {
    if (textWidth(text) <= room) return text;
    if (room < 26) return '';
    let low = 1, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (canvas.measureText(`${text.slice(0, middle)}…`).width <= room) low = middle; else high = middle - 1;
    }
    return low < 3 ? '' : `${text.slice(0, low)}…`;
  };

  const x = (us) => gutter + ((us - view[0]) / (view[1] - view[0])) * (width - gutter);
  const time = (px) => view[0] + ((px - gutter) / (width - gutter)) * (view[1] - view[0]);

  // ---- Where things are -----------------------------------------------------------------------------------------

  const ROW = 16, BUFFER = 42, GROUP = 19;
  const arrange = () => {
    let y = 0, role = null;
    for (const lane of lanes) {
      lane.first = lane.role !== role;
      if (lane.first) y += GROUP;
      role = lane.role;
      lane.y = y;
      lane.labelRows = lane.role === 'viewer' || lane.role === 'other' ? 1 : labelRows;
      lane.base = y + 8 + lane.labelRows * 13 + 5;
      lane.rowsAt = lane.base + 20;
      lane.bufferAt = lane.rowsAt + lane.rows * ROW;
      lane.bottom = lane.bufferAt + (lane.host.viewer ? BUFFER + 6 : 4);
      y = lane.bottom + 3;
    }
    total = y + 8;
  };
  const resize = () => {
    const ratio = window.devicePixelRatio || 1;
    canvas.font = BOLD;
    const longest = Math.max(...lanes.map((lane) => canvas.measureText(lane.name).width), 0);
    gutter = stage.clientWidth < 620 ? 92 : Math.min(Math.max(120, Math.ceil(longest) + 22), 230);
    for (const [element, context] of [[lanesCanvas, canvas], [overviewCanvas, overview]]) {
      const box = element.getBoundingClientRect();
      element.width = Math.max(1, Math.round(box.width * ratio));
      element.height = Math.max(1, Math.round(box.height * ratio));
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    width = lanesCanvas.clientWidth;
    height = lanesCanvas.clientHeight;
    labelRows = 2;
    arrange();
    if (total > height - AXIS) {
      labelRows = 1;
      arrange();
    }
    scrollTo(scroll);
    paintOverview();
    redraw();
  };
  const scrollTo = (y) => {
    scroll = Math.min(Math.max(0, y), Math.max(0, total - (height - AXIS)));
  };
  const SPAN_MIN = 100;
  const look = (from, to) => {
    const span = Math.min(Math.max(to - from, SPAN_MIN), WHOLE[1] - WHOLE[0]);
    const middle = (from + to) / 2;
    const start = Math.min(Math.max(middle - span / 2, WHOLE[0]), WHOLE[1] - span);
    view = [start, start + span];
    redraw();
    remember();
  };
  const zoom = (factor, at = (view[0] + view[1]) / 2) =>
    look(at - (at - view[0]) * factor, at + (view[1] - at) * factor);
  const pan = (part) => {
    const by = (view[1] - view[0]) * part;
    look(view[0] + by, view[1] + by);
  };
  /** Moves so that `at` on `lane` is well inside of what is seen. */
  const reveal = (at, lane) => {
    const span = view[1] - view[0];
    if (at < view[0] + span * 0.1 || at > view[1] - span * 0.1) look(at - span / 2, at + span / 2);
    if (lane && (lane.y < scroll || lane.bottom > scroll + height - AXIS)) {
      scrollTo(lane.y - (height - AXIS - (lane.bottom - lane.y)) / 2);
    }
    redraw();
  };

  // ---- Drawing --------------------------------------------------------------------------------------------------

  let waiting = false;
  const redraw = () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  };

  const shape = (context, kind, px, py, size) => {
    context.beginPath();
    if (kind === 'circle' || kind === 'ring') context.arc(px, py, size, 0, 2 * Math.PI);
    if (kind === 'square') context.rect(px - size, py - size, 2 * size, 2 * size);
    if (kind === 'diamond') {
      context.moveTo(px, py - size); context.lineTo(px + size, py);
      context.lineTo(px, py + size); context.lineTo(px - size, py); context.closePath();
    }
    if (kind === 'triangle') {
      context.moveTo(px, py - size); context.lineTo(px + size, py + size * 0.8);
      context.lineTo(px - size, py + size * 0.8); context.closePath();
    }
    if (kind === 'star') {
      for (let i = 0; i < 10; i++) {
        const r = i % 2 ? size * 0.45 : size, a = -Math.PI / 2 + (i * Math.PI) / 5;
        context.lineTo(px + r * Math.cos(a), py + r * Math.sin(a));
      }
      context.closePath();
    }
    if (kind === 'cross') {
      context.moveTo(px - size, py - size); context.lineTo(px + size, py + size);
      context.moveTo(px + size, py - size); context.lineTo(px - size, py + size);
    }
    if (kind === 'tick') { context.moveTo(px, py - size); context.lineTo(px, py + size); }
  };
  const glyph = (context, name, px, py) => {
    const { color, shape: kind, size } = LOOKS[name];
    shape(context, kind, px, py, size);
    context.strokeStyle = kind === 'ring' || kind === 'cross' || kind === 'tick' ? colors[color] : colors.paper;
    context.lineWidth = kind === 'cross' ? 3 : kind === 'tick' || kind === 'ring' ? 1.5 : 1;
    if (kind === 'ring') context.fillStyle = colors.paper; else context.fillStyle = colors[color];
    if (kind !== 'cross' && kind !== 'tick') context.fill();
    context.stroke();
  };
  const hatch = (from, y, to, h, color) => {
    const left = Math.max(from, gutter), right = Math.min(to, width);
    if (right <= left) return;
    canvas.save();
    canvas.beginPath();
    canvas.rect(left, y, right - left, h);
    canvas.clip();
    canvas.strokeStyle = color;
    canvas.globalAlpha = 0.28;
    canvas.lineWidth = 1;
    canvas.beginPath();
    for (let at = left - (left % 7) - h; at < right; at += 7) { canvas.moveTo(at, y + h); canvas.lineTo(at + h, y); }
    canvas.stroke();
    canvas.restore();
  };

  const tickStep = () => {
    const wanted = ((view[1] - view[0]) / Math.max(width - gutter, 1)) * 95;
    const seconds = [60e6, 120e6, 300e6, 600e6, 1800e6, 3600e6, 7200e6, 14400e6, 43200e6];
    if (wanted > 30e6) return seconds.find((step) => step >= wanted) || 86400e6;
    const power = Math.pow(10, Math.floor(Math.log10(wanted)));
    return [1, 2, 5, 10].map((n) => n * power).find((step) => step >= wanted);
  };

  const draw = () => {
    canvas.font = FONT;
    canvas.textBaseline = 'middle';
    canvas.textAlign = 'left';
    canvas.fillStyle = colors.paper;
    canvas.fillRect(0, 0, width, height);
    const seen = lanes.filter((lane) => lane.bottom >= scroll && lane.y - GROUP <= scroll + height - AXIS);
    const step = tickStep();
    const ticks = [];
    for (let at = Math.ceil(view[0] / step) * step; at <= view[1]; at += step) if (at >= 0) ticks.push(at);

    canvas.save();
    canvas.beginPath();
    canvas.rect(gutter, AXIS, width - gutter, height - AXIS);
    canvas.clip();
    canvas.save();
    canvas.translate(0, AXIS - scroll);
    for (const lane of seen) backdrop(lane);
    canvas.fillStyle = colors.line;
    for (const at of ticks) canvas.fillRect(Math.round(x(at)), scroll, 1, height);
    canvas.fillStyle = colors.soft;
    for (const at of [0, END]) canvas.fillRect(Math.round(x(at)), scroll, 1, height);
    uprights();
    densities(seen);
    for (const lane of seen) {
      spans(lane);
      if (lane.host.viewer) buffer(lane);
      ticksOf(lane);
      baseline(lane);
    }
    drawMessages();
    for (const lane of seen) events(lane);
    canvas.restore();
    canvas.restore();

    names(seen);
    axis(ticks, step);
    scrollbar();
    drawOverviewFrame();
    const range = `${clock(Math.max(view[0], 0), digitsOf(step))} – ${clock(Math.min(view[1], END), digitsOf(step))} (${
      lasting(Math.round(Math.min(view[1], END) - Math.max(view[0], 0)))})`;
    byId('range').textContent = showMessages && messages.t.length && !arrows ? `${range} · zoom in for messages` : range;
  };
  const digitsOf = (step) => (step >= 1e6 ? 0 : Math.min(6, Math.ceil(6 - Math.log10(step) - 1e-9)));

  const backdrop = (lane) => {
    canvas.fillStyle = colors.band;
    canvas.fillRect(gutter, lane.y, width - gutter, lane.bottom - lane.y);
    for (const [since, until, kind] of lane.down) {
      const from = Math.max(x(since), gutter), to = Math.min(x(until), width);
      if (to < gutter || from > width) continue;
      canvas.fillStyle = colors[SPANS[kind].fill];
      canvas.fillRect(from, lane.y, Math.max(to - from, 1), lane.bottom - lane.y);
    }
  };

  /** Lines across all lanes: faults, the caller's marks, broken rules, and what is selected. */
  const uprights = () => {
    const upright = (at, color, dash, alpha) => {
      canvas.strokeStyle = color;
      canvas.globalAlpha = alpha;
      canvas.lineWidth = 1;
      canvas.setLineDash(dash);
      canvas.beginPath();
      const px = Math.round(x(at)) + 0.5;
      canvas.moveTo(px, scroll);
      canvas.lineTo(px, scroll + height);
      canvas.stroke();
      canvas.setLineDash([]);
      canvas.globalAlpha = 1;
    };
    const seen = [];
    for (const lane of lanes) {
      const { t } = lane.by[categoryOf('fault')];
      const first = lowerBound(t, view[0]), last = lowerBound(t, view[1]);
      for (let i = first; i < last && seen.length <= 60; i++) seen.push(t[i]);
    }
    if (seen.length <= 60 && !hidden.has('fault')) seen.forEach((at) => upright(at, colors.fault, [3, 3], 0.6));
    for (const [at] of data.marks) upright(at, colors.soft, [1, 3], 1);
    for (const violation of violations) upright(violation.at, colors.stall, [], 1);
    if (selected && selected.kind !== 'message') upright(selected.at, colors.accent, [], 0.7);
  };

  /** How much travels to and from a host, where single messages cannot be told apart. */
  const densities = (seen) => {
    if (!showMessages || arrows) return;
    const h = 9, across = Math.ceil((width - gutter) / 2);
    for (const lane of lanes) {
      lane.bins = lane.bins && lane.bins.length === across ? lane.bins.fill(0) : new Float32Array(across);
    }
    const bins = data.hosts.map((_, number) => laneOf[number].bins);
    const first = lowerBound(messages.t, view[0]), last = lowerBound(messages.t, view[1]);
    const scale = across / (view[1] - view[0]);
    for (let i = first; i < last; i++) {
      const bin = Math.min(across - 1, ((messages.t[i] - view[0]) * scale) | 0);
      bins[messages.from[i]][bin] += messages.count[i];
      bins[messages.to[i]][bin] += messages.count[i];
    }
    canvas.fillStyle = colors.density;
    for (const lane of seen) {
      const y = lane.base + 7, most = lane.bins.reduce((a, b) => Math.max(a, b), 0);
      for (let bin = 0; bin < across; bin++) {
        if (!lane.bins[bin]) continue;
        const part = Math.max(1, Math.pow(lane.bins[bin] / most, 0.4) * h);
        canvas.fillRect(gutter + bin * 2, y + h - part, 2, part);
      }
    }
  };

  const spans = (lane) => {
    const free = new Array(lane.rows).fill(-Infinity);
    lane.drawn = [];
    lane.written = [];
    let bandEnd = -Infinity;
    for (const band of lane.bands) {
      if (band.until < view[0] || band.since > view[1]) continue;
      const from = Math.max(x(band.since), gutter), to = Math.max(Math.min(x(band.until), width), from + 2);
      const y = lane.rowsAt + (ROWS_MAX - 1) * ROW + 1, style = SPANS[band.kind];
      canvas.fillStyle = colors[style.fill];
      canvas.fillRect(from, y, to - from, ROW - 3);
      const text = `${band.count.toLocaleString('en')} more`;
      const px = textWidth(text) + 8 < to - from ? from + 4 : to + 4;
      if (px < bandEnd) continue;
      lane.written.push([text, px, y + (ROW - 3) / 2 + 0.5, colors[style.ink]]);
      bandEnd = px + textWidth(text) + 6;
    }
    for (const span of lane.spans) {
      const until = span.until ?? END;
      if (until < view[0]) continue;
      if (span.begin > view[1]) break;
      const left = x(span.since), right = x(until);
      const from = Math.max(left, gutter - 2), to = Math.max(Math.min(right, width + 2), from + 2);
      const y = lane.rowsAt + span.row * ROW + 1, h = ROW - 3, style = SPANS[span.kind];
      const chosen = selected && selected.span === span, found = lane.hitSpans && lane.hitSpans.has(span);
      if (span.crowded) {
        if (found) outline(from, y, to - from, h, colors.hit);
        if (chosen) outline(from, y, to - from, h, colors.accent);
        lane.drawn.push([span, from, to, y, h]);
        continue;
      }
      if (span.silent != null) {
        // No media any more, and not noticed yet.
        const begin = Math.max(x(span.silent), gutter);
        canvas.fillStyle = colors[style.ink];
        canvas.fillRect(begin, y + 3, 1, h - 6);
        if (left > begin) canvas.fillRect(begin, y + h / 2 - 1, Math.min(left, width) - begin, 2);
      }
      if (span.since > view[1]) continue;
      canvas.fillStyle = colors[style.fill];
      canvas.fillRect(from, y, to - from, h);
      if (style.hatch) hatch(from, y, to, h, colors[style.ink]);
      canvas.fillStyle = colors[style.ink];
      canvas.fillRect(left >= gutter - 2 ? from : from - 4, y, 2, h);
      if (span.until !== null && right <= width) canvas.fillRect(right - 2, y, 2, h);
      if (found) outline(from, y, to - from, h, colors.hit);
      if (chosen) outline(from, y, to - from, h, colors.accent);
      lane.drawn.push([span, from, to, y, h]);
      const inside = to - from - 10;
      if (free[span.row] > from) continue;
      const room = Math.min(span.next ? x(span.next.begin) : width, width) - to - 8;
      const whole = spanText(span), fits = (text) => textWidth(text) <= Math.max(inside, room);
      // Where there is no room for all of it, what comes before the comma will do.
      const text = fits(whole) ? whole : whole.split(', ')[0];
      canvas.fillStyle = colors[style.ink];
      if (textWidth(text) <= inside) {
        lane.written.push([text, from + 6, y + h / 2 + 0.5, colors[style.ink]]);
        free[span.row] = to;
      } else {
        // Behind it, as far as the next one in the row lets it.
        if (room >= textWidth(text)) {
          lane.written.push([text, to + 4, y + h / 2 + 0.5, colors[style.ink]]);
          free[span.row] = to + 6 + textWidth(text);
        } else if (inside > 40) {
          lane.written.push([fitted(text, inside), from + 6, y + h / 2 + 0.5, colors[style.ink]]);
          free[span.row] = to;
        }
      }
    }
  };
  /** Text that can be read on whatever is below it. */
  const write = (text, px, py, color) => {
    canvas.strokeStyle = colors.paper;
    canvas.lineWidth = 3;
    canvas.lineJoin = 'round';
    canvas.globalAlpha = 0.85;
    canvas.strokeText(text, px, py);
    canvas.globalAlpha = 1;
    canvas.fillStyle = color;
    canvas.fillText(text, px, py);
  };
  const outline = (px, py, w, h, color) => {
    canvas.strokeStyle = color;
    canvas.lineWidth = 2;
    canvas.strokeRect(px - 1, py - 1, w + 2, h + 2);
  };

  const buffer = (lane) => {
    const top = lane.bufferAt + 3, bottom = top + BUFFER - 3, full = bottom - top;
    const levels = lane.host.viewer.levels;
    const y = (us) => bottom - (us / bufferMax) * full;
    const first = Math.max(0, lowerBound(lane.levels, view[0]) - 1);
    const last = Math.min(levels.length, lowerBound(lane.levels, view[1]) + 1);
    canvas.strokeStyle = colors.line;
    canvas.lineWidth = 1;
    canvas.strokeRect(gutter - 1, top - 0.5, width - gutter + 2, full + 1);
    if (last > first) {
      const path = new Path2D();
      const start = x(levels[first][0]);
      path.moveTo(start, bottom);
      // Where there are many levels to a pixel, the lowest and the highest are enough.
      let column = -1, low = 0, high = 0;
      const flush = () => { if (column >= 0) { path.lineTo(column, y(low)); path.lineTo(column, y(high)); } };
      const point = (px, us) => {
        if (last - first < 3000) { path.lineTo(px, y(us)); return; }
        const at = Math.round(px);
        if (at !== column) { flush(); column = at; low = high = us; }
        low = Math.min(low, us);
        high = Math.max(high, us);
      };
      let end = start;
      for (let i = first; i < last; i++) {
        const [at, ahead, playing] = levels[i];
        const next = i + 1 < levels.length ? levels[i + 1][0] : END;
        point(x(at), ahead);
        if (playing && next - at > ahead) point(x(at + ahead), 0);
        point(x(next), playing ? Math.max(0, ahead - (next - at)) : ahead);
        end = x(next);
      }
      flush();
      const line = new Path2D(path);
      path.lineTo(end, bottom);
      path.closePath();
      canvas.fillStyle = colors['buffer-fill'];
      canvas.fill(path);
      canvas.strokeStyle = colors.buffer;
      canvas.lineWidth = 1.25;
      canvas.stroke(line);
    }
    for (const { since, until, of } of lane.gaps) {
      if (until < view[0] || since > view[1]) continue;
      const from = Math.max(x(since), gutter), to = Math.min(x(until), width);
      canvas.fillStyle = colors.gap;
      canvas.fillRect(from, top, Math.max(to - from, 2), 2);
      const text = `no ${[...of].join(', ')} for ${lasting(until - since)}`;
      if (textWidth(text) + 8 < to - from) write(text, from + 4, top + 9, colors.gap);
    }
    for (const [since, until] of lane.host.viewer.stalls) {
      const end = until === null ? END : until;
      if (end < view[0] || since > view[1]) continue;
      const from = Math.max(x(since), gutter), to = Math.max(Math.min(x(end), width), from + 2);
      canvas.globalAlpha = 0.22;
      canvas.fillStyle = colors.stall;
      canvas.fillRect(from, top, to - from, full);
      canvas.globalAlpha = 1;
      canvas.fillRect(from, bottom - 4, to - from, 4);
      const text = `stall ${lasting(end - since)}${until === null ? '…' : ''}`;
      if (textWidth(text) + 6 < to - from) write(text, from + 3, bottom - 12, colors.stall);
    }
  };

  const baseline = (lane) => {
    const conditions = lane.host.conditions.length ? lane.host.conditions : [[0, 'running']];
    conditions.forEach(([at, name], i) => {
      const until = i + 1 < conditions.length ? conditions[i + 1][0] : END;
      const from = Math.max(x(at), gutter), to = Math.min(x(until), width);
      if (to < from) return;
      canvas.fillStyle = colors[{ running: 'running', paused: 'paused', stopping: 'stopping' }[name] || 'down'];
      if (name === 'running') canvas.fillRect(from, lane.base - 1, to - from, 2);
      else if (name === 'down' || name === 'dark') {
        for (let px = from; px < to; px += 6) canvas.fillRect(px, lane.base - 1, Math.min(2, to - px), 2);
      } else {
        canvas.fillRect(from, lane.base - 2, to - from, 1);
        canvas.fillRect(from, lane.base + 1, to - from, 1);
      }
    });
  };

  /** Messages whose line crosses what is seen, as [index]; none if there are more than can be told apart. */
  const ARROWS_MAX = 900;
  const visibleMessages = () => {
    const found = [];
    const first = lowerBound(messages.t, view[0] - longestFlight), last = lowerBound(messages.t, view[1]);
    if (lowerBound(messages.t, view[0]) + ARROWS_MAX < last) return null;
    for (let i = first; i < last; i++) {
      if (messages.t[i] + messages.span[i] + Math.max(messages.flight[i], 0) >= view[0]) found.push(i);
      if (found.length > ARROWS_MAX) return null;
    }
    return found;
  };
  const ends = (i) => {
    const from = laneOf[messages.from[i]], to = laneOf[messages.to[i]];
    const x1 = x(messages.t[i]), y1 = from.base, stuck = messages.flight[i] < 0;
    const same = from === to;
    const y2 = same ? y1 + 14 : to.base;
    if (!stuck) return { x1, y1, x2: x(messages.t[i] + messages.flight[i]), y2, stuck };
    const length = Math.min(Math.abs(y2 - y1) * 0.4, 34) * Math.sign(y2 - y1 || 1);
    return { x1, y1, x2: x1, y2: y1 + length, stuck };
  };
  const related = (a, b) => a === b || (messages.conn[a] !== null && messages.conn[a] === messages.conn[b]);
  let visible = [];
  const drawMessages = () => {
    const found = showMessages ? visibleMessages() : null;
    visible = found || [];
    const few = visible.length < 250;
    arrowsNext(found !== null);
    for (const i of visible) {
      const { x1, y1, x2, y2, stuck } = ends(i);
      const cargo = CARGO[messages.cargo[i]];
      const color = stuck ? colors.fault : colors[cargo.color];
      const chosen = selected && selected.kind === 'message' && related(selected.index, i);
      canvas.globalAlpha = chosen ? 1 : cargo.important || stuck ? 0.95 : few ? 0.75 : 0.4;
      canvas.strokeStyle = canvas.fillStyle = chosen ? colors.accent : color;
      canvas.lineWidth = selected && selected.kind === 'message' && selected.index === i ? 3 : chosen ? 1.6 : 1;
      const wide = x(messages.t[i] + messages.span[i]) - x1;
      if (wide > 3 && !stuck) {
        // A burst: from its first to its last.
        canvas.save();
        canvas.globalAlpha *= 0.1;
        canvas.beginPath();
        canvas.moveTo(x1, y1); canvas.lineTo(x1 + wide, y1); canvas.lineTo(x2 + wide, y2); canvas.lineTo(x2, y2);
        canvas.fill();
        canvas.restore();
      }
      canvas.beginPath();
      canvas.moveTo(x1, y1);
      canvas.lineTo(x2, y2);
      canvas.stroke();
      if (stuck) {
        shape(canvas, 'cross', x2, y2, 3.5);
        canvas.lineWidth = 1.5;
        canvas.stroke();
      } else if (few) {
        const angle = Math.atan2(y2 - y1, x2 - x1), tip = 6;
        const ex = x2 - Math.cos(angle) * 4, ey = y2 - Math.sin(angle) * 4;
        canvas.beginPath();
        canvas.moveTo(ex, ey);
        canvas.lineTo(ex - tip * Math.cos(angle - 0.4), ey - tip * Math.sin(angle - 0.4));
        canvas.lineTo(ex - tip * Math.cos(angle + 0.4), ey - tip * Math.sin(angle + 0.4));
        canvas.fill();
      }
    }
    canvas.globalAlpha = 1;
  };
  /** Whether arrows are drawn decides whether densities are, one frame later at most. */
  const arrowsNext = (now) => {
    if (now !== arrows) {
      arrows = now;
      redraw();
    }
  };

  const shown = (lane, category) => !hidden.has(data.categories[category]);

  /** What happens all the time: one tick per pixel, under everything else. */
  const ticksOf = (lane) => {
    for (let category = data.categories.length - 1; category >= FIRST_QUIET; category--) {
      const list = lane.by[category];
      if (!shown(lane, category)) continue;
      const first = lowerBound(list.t, view[0]), last = lowerBound(list.t, view[1]);
      const { size, color } = looks[category];
      canvas.strokeStyle = colors[color];
      canvas.lineWidth = 1;
      canvas.beginPath();
      let before = -1;
      for (let i = first; i < last; i++) {
        const px = Math.round(x(list.t[i]));
        if (px === before) {
          if (last - i > 4000) i = Math.max(i, lowerBound(list.t, time(px + 0.5)) - 1);
          continue;
        }
        before = px;
        canvas.moveTo(px + 0.5, lane.base - size);
        canvas.lineTo(px + 0.5, lane.base + size);
      }
      canvas.stroke();
    }
  };

  const events = (lane) => {
    // Over the messages, or they could not be read.
    for (const [text, px, py, color] of lane.written) write(text, px, py, color);
    const visibleOf = [];
    let quiet = 0;
    // Many hits are a band under the loud ones, few are rings around them.
    if (!fewHits(lane)) drawHits(lane);
    for (let category = data.categories.length - 1; category >= 0; category--) {
      const list = lane.by[category];
      if (!shown(lane, category)) continue;
      const first = lowerBound(list.t, view[0]), last = lowerBound(list.t, view[1]);
      if (last <= first) continue;
      visibleOf.push([category, first, last]);
      if (isQuiet(category)) quiet += last - first;
      if (!isQuiet(category)) {
        let before = -10;
        for (let i = first; i < last; i++) {
          const px = x(list.t[i]);
          if (px - before < 1.5) continue;
          before = px;
          glyph(canvas, data.categories[category], px, lane.base);
        }
      }
    }
    for (const violation of violations) {
      if (violation.lane === lane && violation.at >= view[0] && violation.at <= view[1]) {
        glyph(canvas, 'violation', x(violation.at), lane.base);
      }
    }
    if (fewHits(lane)) drawHits(lane);
    labels(lane, visibleOf, quiet);
    if (selected && selected.lane === lane && selected.kind === 'event') {
      canvas.strokeStyle = colors.accent;
      canvas.lineWidth = 2.5;
      canvas.beginPath();
      canvas.arc(x(selected.at), lane.base, 8, 0, 2 * Math.PI);
      canvas.stroke();
    }
  };

  const fewHits = (lane) =>
    lane.hits.length > 0 && lowerBound(lane.hitTimes, view[1]) - lowerBound(lane.hitTimes, view[0]) < 60;
  const drawHits = (lane) => {
    if (!lane.hits.length) return;
    const first = lowerBound(lane.hitTimes, view[0]), last = lowerBound(lane.hitTimes, view[1]);
    const few = fewHits(lane);
    let before = -10;
    for (let i = first; i < last; i++) {
      const px = x(lane.hitTimes[i]);
      if (px - before < 2) continue;
      before = px;
      canvas.fillStyle = colors.hit;
      if (!few) {
        canvas.fillRect(px - 1, lane.base - 8, 2, 16);
        continue;
      }
      canvas.strokeStyle = colors.ink;
      canvas.lineWidth = 1;
      canvas.beginPath();
      canvas.arc(px, lane.base, 6.5, 0, 2 * Math.PI);
      canvas.fill();
      canvas.stroke();
      glyph(canvas, data.categories[lane.category[lane.hits[i]]], px, lane.base);
    }
  };

  /** Labels stand over their events, the important ones first, and never over each other. */
  const labels = (lane, visibleOf, quiet) => {
    const taken = Array.from({ length: lane.labelRows }, () => []);
    const clear = (row, from, to) => taken[row].every(([a, b]) => to < a || from > b);
    const rowY = (row) => lane.base - 13 - row * 13;
    const place = (at, text, color) => {
      const px = x(at), room = textWidth(text) + 9;
      let left = px - 1;
      if (left + room > width) left = width - room;
      for (let row = 0; row < lane.labelRows; row++) {
        let free = clear(row, left, left + room);
        // Its stem must not cross a label below.
        for (let below = 0; below < row; below++) free = free && clear(below, px - 1, px + 1);
        if (!free) continue;
        taken[row].push([left, left + room]);
        for (let below = 0; below < row; below++) taken[below].push([px - 1, px + 1]);
        canvas.strokeStyle = color;
        canvas.globalAlpha = 0.5;
        canvas.lineWidth = 1;
        canvas.beginPath();
        canvas.moveTo(px, lane.base - 6);
        canvas.lineTo(px, rowY(row) + 5);
        canvas.stroke();
        canvas.globalAlpha = 1;
        write(text, left + 4, rowY(row), color);
        return;
      }
    };
    for (const violation of violations) {
      if (violation.lane === lane && violation.at >= view[0] && violation.at <= view[1]) {
        place(violation.at, violation.rule, colors.stall);
      }
    }
    if (selected && selected.kind === 'event' && selected.lane === lane && selected.at >= view[0] && selected.at <= view[1]) {
      place(selected.at, data.texts[lane.label[selected.index]], colors.accent);
    }
    for (const [category, first, last] of visibleOf.reverse()) {
      // What was sent and received, the arrows tell.
      if (category === BYTES || (isQuiet(category) && quiet > 80)) continue;
      const list = lane.by[category];
      // Beyond this there is no room left anyhow.
      const most = Math.min(last, first + 600);
      for (let i = first; i < most; i++) {
        const color = colors[isQuiet(category) ? 'soft' : looks[category].color];
        place(list.t[i], data.texts[lane.label[list.index[i]]], color);
      }
    }
  };

  const names = (seen) => {
    canvas.save();
    canvas.fillStyle = colors.panel;
    canvas.fillRect(0, AXIS, gutter, height - AXIS);
    canvas.beginPath();
    canvas.rect(0, AXIS, gutter, height - AXIS);
    canvas.clip();
    canvas.translate(0, AXIS - scroll);
    for (const lane of seen) {
      canvas.font = BOLD;
      if (lane.first) {
        canvas.fillStyle = colors.soft;
        canvas.fillText(lane.title.toUpperCase(), 8, lane.y - GROUP / 2 + 1);
      }
      canvas.fillStyle = colors.ink;
      canvas.textAlign = 'right';
      canvas.fillText(fittedBold(lane.name, gutter - 16), gutter - 8, lane.base);
      canvas.font = FONT;
      canvas.fillStyle = colors.soft;
      if (lane.host.viewer) {
        const top = lane.bufferAt + 3;
        canvas.fillText(lasting(bufferMax), gutter - 6, top + 6);
        canvas.fillText('0', gutter - 6, top + BUFFER - 8);
        canvas.textAlign = 'left';
        canvas.fillText('buffer', 8, top + BUFFER / 2 - 1);
      } else if (labelRows > 1) {
        canvas.fillText(count(lane.t.length, 'event'), gutter - 8, lane.base + 14);
      }
      canvas.textAlign = 'left';
    }
    canvas.restore();
    canvas.fillStyle = colors.line;
    canvas.fillRect(gutter - 1, AXIS, 1, height - AXIS);
  };
  const fittedBold = (text, room) => {
    if (canvas.measureText(text).width <= room) return text;
    let end = text.length;
    while (end > 1 && canvas.measureText(`${text.slice(0, end)}…`).width > room) end--;
    return `${text.slice(0, end)}…`;
  };

  const axis = (ticks, step) => {
    canvas.fillStyle = colors.panel;
    canvas.fillRect(0, 0, width, AXIS);
    canvas.fillStyle = colors.line;
    canvas.fillRect(0, AXIS - 1, width, 1);
    canvas.save();
    canvas.beginPath();
    canvas.rect(gutter, 0, width - gutter, AXIS);
    canvas.clip();
    canvas.fillStyle = colors.soft;
    canvas.textAlign = 'center';
    const taken = [];
    for (const [at, text] of data.marks) {
      const px = x(at), room = textWidth(text) + 8;
      if (px < gutter || px > width) continue;
      const left = Math.min(Math.max(px - room / 2, gutter), width - room);
      if (taken.some(([a, b]) => left + room > a && left < b)) continue;
      taken.push([left, left + room]);
      canvas.fillStyle = colors.accent;
      canvas.fillText(text, left + room / 2, AXIS / 2);
    }
    canvas.fillStyle = colors.soft;
    for (const at of ticks) {
      const text = clock(at, digitsOf(step)), room = textWidth(text) / 2 + 6, px = x(at);
      if (px - room < gutter || px + room > width || taken.some(([a, b]) => px + room > a && px - room < b)) continue;
      canvas.fillText(text, px, AXIS / 2);
    }
    canvas.restore();
    canvas.textAlign = 'left';
  };

  const scrollbar = () => {
    const room = height - AXIS;
    if (total <= room) return;
    const size = Math.max(24, (room * room) / total);
    canvas.fillStyle = colors.soft;
    canvas.globalAlpha = 0.5;
    canvas.fillRect(width - 6, AXIS + (scroll / (total - room)) * (room - size), 4, size);
    canvas.globalAlpha = 1;
  };

  // ---- The overview ---------------------------------------------------------------------------------------------

  const backing = document.createElement('canvas');
  const OVERVIEW = 46;
  const overX = (us) => gutter + ((us - WHOLE[0]) / (WHOLE[1] - WHOLE[0])) * (width - gutter);
  const overTime = (px) => WHOLE[0] + ((px - gutter) / (width - gutter)) * (WHOLE[1] - WHOLE[0]);
  const paintOverview = () => {
    const ratio = window.devicePixelRatio || 1;
    backing.width = overviewCanvas.width;
    backing.height = overviewCanvas.height;
    const paint = backing.getContext('2d');
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.fillStyle = colors.panel;
    paint.fillRect(0, 0, width, OVERVIEW);
    const across = Math.max(1, Math.ceil((width - gutter) / 2)), all = new Float32Array(across);
    const scale = across / (WHOLE[1] - WHOLE[0]);
    let most = 1;
    for (const lane of lanes) {
      for (let i = 0; i < lane.t.length; i++) {
        const bin = Math.min(across - 1, ((lane.t[i] - WHOLE[0]) * scale) | 0);
        most = Math.max(most, ++all[bin]);
      }
    }
    paint.fillStyle = colors.density;
    for (let bin = 0; bin < across; bin++) {
      const h = all[bin] ? Math.max(1, Math.sqrt(all[bin] / most) * (OVERVIEW - 18)) : 0;
      paint.fillRect(gutter + bin * 2, OVERVIEW - 9 - h, 2, h);
    }
    const bar = (since, until, y, h, color) => {
      paint.fillStyle = color;
      paint.fillRect(overX(since), y, Math.max(overX(until ?? END) - overX(since), 2), h);
    };
    for (const lane of lanes) {
      for (const span of lane.spans) {
        if (span.kind === 'failover') bar(span.since, span.until, 3, 6, colors.failover);
        else if (span.kind !== 'pull') bar(span.since, span.until, 10, 3, colors.fault);
      }
      if (lane.host.viewer) for (const [since, until] of lane.host.viewer.stalls) bar(since, until, OVERVIEW - 8, 5, colors.stall);
      paint.fillStyle = colors.fault;
      for (const at of lane.by[categoryOf('fault')].t) paint.fillRect(overX(at), 4, 1, OVERVIEW - 12);
      paint.fillStyle = colors.hit;
      let before = -1;
      for (const at of lane.hitTimes || []) {
        const px = Math.round(overX(at));
        if (px !== before) paint.fillRect(px - 1, OVERVIEW - 16, 2, 8);
        before = px;
      }
    }
    for (const violation of violations) bar(violation.at, violation.at, 0, OVERVIEW, colors.stall);
    paint.fillStyle = colors.soft;
    paint.font = FONT;
    paint.textBaseline = 'middle';
    paint.fillText('whole run', 8, OVERVIEW / 2);
  };
  const drawOverviewFrame = () => {
    overview.clearRect(0, 0, width, OVERVIEW);
    overview.drawImage(backing, 0, 0, width, OVERVIEW);
    const from = overX(view[0]), to = overX(view[1]);
    overview.fillStyle = colors.paper;
    overview.globalAlpha = 0.65;
    overview.fillRect(gutter, 0, from - gutter, OVERVIEW);
    overview.fillRect(to, 0, width - to, OVERVIEW);
    overview.globalAlpha = 1;
    overview.strokeStyle = colors.accent;
    overview.lineWidth = 2;
    overview.strokeRect(Math.max(from, gutter + 1), 1, Math.max(Math.min(to, width - 1) - Math.max(from, gutter + 1), 3), OVERVIEW - 2);
  };

  // ---- Searching ------------------------------------------------------------------------------------------------

  let lowered = null;
  const search = (query, keep) => {
    words = query.toLowerCase().split(/\s+/).filter(Boolean);
    hits = [];
    for (const lane of lanes) {
      lane.hits = [];
      lane.hitTimes = [];
      lane.hitSpans = new Set();
    }
    if (words.length) {
      lowered = lowered || data.texts.map((text) => text.toLowerCase());
      const inTexts = words.map((word) => Uint8Array.from(lowered, (text) => (text.includes(word) ? 1 : 0)));
      const inCategories = words.map((word) => data.categories.map((name) => name.startsWith(word)));
      for (const lane of lanes) {
        const inName = words.map((word) => lane.name.toLowerCase().includes(word));
        // A host's name alone would hit all that happened to it.
        const own = words.map((word, w) => !inName[w]);
        const needed = own.some(Boolean) ? own : own.map(() => true);
        for (let i = 0; i < lane.t.length; i++) {
          let all = true, some = false;
          for (let w = 0; w < words.length && all; w++) {
            const found = inTexts[w][lane.label[i]] || inTexts[w][lane.detail[i]] || inCategories[w][lane.category[i]];
            some = some || (found && needed[w]);
            all = found || inName[w];
          }
          if (all && some) {
            lane.hits.push(i);
            hits.push({ kind: 'event', lane, index: i, at: lane.t[i] });
          }
        }
        lane.hitTimes = Float64Array.from(lane.hits, (i) => lane.t[i]);
        for (const span of lane.spans) {
          const text = `${span.kind} ${span.label} ${span.detail}`.toLowerCase();
          if (words.every((word, w) => text.includes(word) || inName[w]) && words.some((word) => text.includes(word))) {
            lane.hitSpans.add(span);
            hits.push({ kind: 'span', lane, span, at: span.since });
          }
        }
      }
      hits.sort((a, b) => a.at - b.at);
    }
    hit = -1;
    tellHits();
    paintOverview();
    redraw();
    if (!keep) remember();
  };
  const tellHits = () => {
    byId('hits').textContent = !words.length ? '' : hits.length === 0 ? 'no hits'
      : hit < 0 ? count(hits.length, 'hit') : `${(hit + 1).toLocaleString('en')} of ${count(hits.length, 'hit')}`;
  };
  const go = (by) => {
    if (!hits.length) return;
    if (hit < 0) {
      // From where one looks.
      const after = hits.findIndex((one) => one.at >= view[0]);
      hit = by > 0 ? Math.max(after, 0) : (after < 0 ? hits.length : after) - 1;
      if (hit < 0) hit = hits.length - 1;
    } else {
      hit = (hit + by + hits.length) % hits.length;
    }
    tellHits();
    select(hits[hit]);
    reveal(hits[hit].at, hits[hit].lane);
  };

  // ---- What is selected -----------------------------------------------------------------------------------------

  const element = (tag, text, className) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  };
  const list = (pairs) => {
    const made = element('dl');
    for (const [name, value] of pairs) {
      const row = element('div');
      row.append(element('dt', name), element('dd', value));
      made.append(row);
    }
    return made;
  };
  const select = (thing) => {
    const wasHidden = byId('panel').hidden;
    selected = thing;
    byId('panel').hidden = !thing;
    if (thing) describe(thing);
    if (wasHidden === !!thing) resize(); else redraw();
  };
  const describe = (thing) => {
    const box = byId('details');
    box.replaceChildren();
    if (thing.kind === 'event') {
      const { lane, index } = thing;
      const category = data.categories[lane.category[index]];
      const number = lane.host.events.number[index];
      box.append(element('h2', data.texts[lane.label[index]]));
      const rows = [['at', clock(thing.at, 6)], ['host', lane.name], ['kind', LOOKS[category].title]];
      if (number !== null) rows.push(['event', `number ${number.toLocaleString('en')}`]);
      box.append(list(rows), element('div', data.texts[lane.detail[index]], 'text'));
      box.append(element('h3', 'Around it on this host'));
      const around = element('ol');
      const near = [];
      for (let i = index - 1; i >= 0 && near.length < 8; i--) if (shown(lane, lane.category[i])) near.unshift(i);
      near.push(index);
      for (let i = index + 1, more = 0; i < lane.t.length && more < 8; i++) {
        if (shown(lane, lane.category[i])) { near.push(i); more++; }
      }
      for (const i of near) {
        const item = element('li'), apart = lane.t[i] - thing.at;
        const text = `${apart < 0 ? '−' : '+'}${lasting(Math.abs(apart))}  ${data.texts[lane.label[i]]} ${data.texts[lane.detail[i]]}`;
        const button = element('button', text, i === index ? 'here' : '');
        button.title = text;
        button.onclick = () => {
          select({ kind: 'event', lane, index: i, at: lane.t[i] });
          reveal(lane.t[i], lane);
        };
        item.append(button);
        around.append(item);
      }
      box.append(around);
    }
    if (thing.kind === 'span') {
      const { span, lane } = thing;
      box.append(element('h2', spanText(span)));
      const until = span.until === null ? 'the end of the run' : clock(span.until, 6);
      box.append(list([
        ['host', lane.name], ['from', clock(span.since, 6)], ['until', until],
        ['lasts', lasting((span.until ?? END) - span.since)],
        ...(span.silent != null ? [['no media', `since ${clock(span.silent, 6)}`]] : []),
      ]));
      box.append(element('div', span.detail, 'text'));
      const button = element('button', 'Zoom to it');
      button.onclick = () => zoomTo(span);
      box.append(button);
    }
    if (thing.kind === 'message') {
      const i = thing.index, flight = messages.flight[i];
      box.append(element('h2', CARGO[messages.cargo[i]].name));
      const rows = [
        ['from', data.hosts[messages.from[i]].name], ['to', data.hosts[messages.to[i]].name],
        ['sent', clock(messages.t[i], 6)],
        ['arrives', flight < 0 ? 'stuck: cut or held' : clock(messages.t[i] + flight, 6)],
      ];
      if (flight >= 0) rows.push(['takes', lasting(flight)]);
      rows.push(['size', count(messages.bytes[i], 'byte')]);
      if (messages.count[i] > 1) {
        rows.push(['burst', `${count(messages.count[i], 'packet')} within ${lasting(messages.span[i])}`]);
      }
      if (messages.conn[i] !== null) rows.push(['connection', `number ${messages.conn[i]} of the world, highlighted`]);
      box.append(list(rows), element('div', data.texts[messages.text[i]], 'text'));
    }
    if (thing.kind === 'violation') {
      box.append(element('h2', thing.violation.rule));
      box.append(list([['at', clock(thing.at, 6)], ['host', thing.violation.host]]));
      box.append(element('div', thing.violation.what, 'text'));
    }
  };
  const zoomTo = (span) => {
    const until = span.until ?? END, room = Math.max(until - span.begin, 1e3) * 0.6;
    look(span.begin - room, until + room);
  };

  /** What lies under a point of the lanes: an event, else a span, else a message. */
  const under = (px, py) => {
    if (px < gutter || py < AXIS) return null;
    const y = py - AXIS + scroll;
    const lane = lanes.find((one) => y >= one.y && y <= one.bottom);
    let best = null, distance = 7;
    if (lane && Math.abs(y - lane.base) < 11) {
      for (const violation of violations) {
        if (violation.lane === lane && Math.abs(x(violation.at) - px) < 8) {
          return { kind: 'violation', violation, lane, at: violation.at };
        }
      }
      for (let category = 0; category < data.categories.length; category++) {
        if (!shown(lane, category)) continue;
        const { t, index } = lane.by[category];
        const reach = isQuiet(category) ? Math.min(3, distance) : distance;
        for (let i = lowerBound(t, time(px - reach)); i < t.length && t[i] <= time(px + reach); i++) {
          const apart = Math.abs(x(t[i]) - px);
          // What is more important wins over what is a little nearer.
          if (apart < distance - 0.01) {
            distance = isQuiet(category) ? apart : Math.max(0, apart - 2);
            best = { kind: 'event', lane, index: index[i], at: t[i] };
          }
        }
      }
      if (best) return best;
    }
    if (lane) {
      for (const [span, from, to, top, h] of lane.drawn || []) {
        if (px >= from - 3 && px <= Math.max(to, from + 6) + 3 && y >= top && y <= top + h) {
          return { kind: 'span', lane, span, at: span.since };
        }
      }
    }
    let near = 5;
    for (const i of visible) {
      const { x1, y1, x2, y2 } = ends(i);
      const dx = x2 - x1, dy = y2 - y1, length = dx * dx + dy * dy || 1;
      const along = Math.min(1, Math.max(0, ((px - x1) * dx + (y - y1) * dy) / length));
      const apart = Math.hypot(px - x1 - along * dx, y - y1 - along * dy);
      if (apart < near) {
        near = apart;
        best = { kind: 'message', index: i, at: messages.t[i], lane: null };
      }
    }
    return best;
  };
  const tip = byId('tip');
  const showTip = (px, py) => {
    const thing = under(px, py);
    lanesCanvas.style.cursor = thing ? 'pointer' : '';
    tip.hidden = true;
    if (!thing) {
      const y = py - AXIS + scroll;
      const lane = lanes.find((one) => one.host.viewer && y >= one.bufferAt && y <= one.bottom);
      if (!lane || px < gutter) return;
      const at = time(px), place = lowerBound(lane.levels, at + 1) - 1;
      if (place < 0) return;
      const [since, ahead, playing] = lane.host.viewer.levels[place];
      const left = playing ? Math.max(0, ahead - (at - since)) : ahead;
      tip.textContent = `${clock(at, 3)}: ${lasting(Math.round(left))} buffered`;
    } else if (thing.kind === 'event') {
      const { lane, index } = thing;
      const here = lowerBound(lane.t, time(px + 3)) - lowerBound(lane.t, time(px - 3));
      const detail = data.texts[lane.detail[index]];
      tip.textContent = `${clock(thing.at, 6)}  ${data.texts[lane.label[index]]}${detail ? `\n${detail}` : ''}${
        here > 1 ? `\n(${here.toLocaleString('en')} events here)` : ''}`;
    } else if (thing.kind === 'span') {
      tip.textContent = `${spanText(thing.span)}\n${thing.span.detail}`.trim();
    } else if (thing.kind === 'violation') {
      tip.textContent = `${thing.violation.rule}\n${thing.violation.what}`;
    } else {
      const i = thing.index;
      const flight = messages.flight[i] < 0 ? 'stuck' : lasting(messages.flight[i]);
      tip.textContent = `${CARGO[messages.cargo[i]].name}  ${data.hosts[messages.from[i]].name} → ${
        data.hosts[messages.to[i]].name}\n${count(messages.bytes[i], 'byte')}${
        messages.count[i] > 1 ? ` in ${messages.count[i]} packets` : ''}, ${flight}${
        messages.text[i] ? `\n${data.texts[messages.text[i]]}` : ''}`;
    }
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(px + 14, width - box.width - 8))}px`;
    const below = py + OVERVIEW + 18;
    tip.style.top = `${below + box.height > height + OVERVIEW ? Math.max(2, py + OVERVIEW - box.height - 12) : below}px`;
  };

  // ---- Mouse and keys -------------------------------------------------------------------------------------------

  let drag = null;
  lanesCanvas.addEventListener('pointerdown', (event) => {
    lanesCanvas.setPointerCapture(event.pointerId);
    drag = { x: event.offsetX, y: event.offsetY, view: view.slice(), scroll, moved: false };
    tip.hidden = true;
  });
  lanesCanvas.addEventListener('pointermove', (event) => {
    if (!drag) return showTip(event.offsetX, event.offsetY);
    const dx = event.offsetX - drag.x, dy = event.offsetY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 4) return;
    drag.moved = true;
    lanesCanvas.classList.add('dragging');
    const by = (dx / (width - gutter)) * (drag.view[1] - drag.view[0]);
    scrollTo(drag.scroll - dy);
    look(drag.view[0] - by, drag.view[1] - by);
  });
  lanesCanvas.addEventListener('pointerup', (event) => {
    if (drag && !drag.moved) select(under(event.offsetX, event.offsetY));
    drag = null;
    lanesCanvas.classList.remove('dragging');
  });
  lanesCanvas.addEventListener('pointercancel', () => { drag = null; });
  lanesCanvas.addEventListener('pointerleave', () => { tip.hidden = true; });
  lanesCanvas.addEventListener('dblclick', (event) => {
    const thing = under(event.offsetX, event.offsetY);
    if (thing && thing.kind === 'span') zoomTo(thing.span);
    else if (event.offsetX > gutter) zoom(0.4, time(event.offsetX));
  });
  lanesCanvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    tip.hidden = true;
    const lines = event.deltaMode === 1 ? 16 : 1;
    const dx = event.deltaX * lines, dy = event.deltaY * lines;
    if (event.offsetX < gutter && !event.ctrlKey) {
      scrollTo(scroll + dy);
      redraw();
    } else if (event.shiftKey || Math.abs(dx) > Math.abs(dy)) {
      pan((event.shiftKey ? dx || dy : dx) / (width - gutter));
    } else {
      zoom(Math.exp(Math.max(-300, Math.min(300, dy)) * 0.0022), time(Math.max(event.offsetX, gutter)));
    }
  }, { passive: false });

  let choosing = null;
  overviewCanvas.addEventListener('pointerdown', (event) => {
    overviewCanvas.setPointerCapture(event.pointerId);
    const at = overTime(Math.max(event.offsetX, gutter));
    const whole = view[1] - view[0] > (WHOLE[1] - WHOLE[0]) * 0.98;
    choosing = { x: event.offsetX, at, view: view.slice(), inside: !whole && at >= view[0] && at <= view[1], moved: false };
  });
  overviewCanvas.addEventListener('pointermove', (event) => {
    if (!choosing || (!choosing.moved && Math.abs(event.offsetX - choosing.x) < 4)) return;
    choosing.moved = true;
    const at = overTime(Math.max(event.offsetX, gutter));
    if (choosing.inside) look(choosing.view[0] + at - choosing.at, choosing.view[1] + at - choosing.at);
    else look(Math.min(at, choosing.at), Math.max(at, choosing.at));
  });
  overviewCanvas.addEventListener('pointerup', () => {
    if (choosing && !choosing.moved) {
      const half = (view[1] - view[0]) / 2;
      look(choosing.at - half, choosing.at + half);
    }
    choosing = null;
  });

  /** The next of `times`, in order, after what is selected or the middle of what is seen; the first after the last. */
  const following = (things) => {
    const sorted = things.sort((a, b) => a.at - b.at);
    if (!sorted.length) return;
    const place = sorted.findIndex((one) => selected && (one.span ? one.span === selected.span
      : one.violation ? one.violation === selected.violation : one.lane === selected.lane && one.index === selected.index));
    const next = place >= 0 ? sorted[(place + 1) % sorted.length]
      : (selected && sorted.find((one) => one.at > selected.at)) || sorted[0];
    select(next);
    return next;
  };
  const nextFailover = () => {
    const all = lanes.flatMap((lane) => lane.spans.filter((span) => span.kind === 'failover')
      .map((span) => ({ kind: 'span', lane, span, at: span.since })));
    const next = following(all);
    if (!next) return;
    const span = Math.min(view[1] - view[0], Math.max(((next.span.until ?? END) - next.span.begin) * 2.5, 300e3));
    const middle = (next.span.begin + (next.span.until ?? END)) / 2;
    look(middle - span / 2, middle + span / 2);
    reveal(next.at, next.lane);
  };
  const nextFault = () => {
    const category = categoryOf('fault');
    const all = lanes.flatMap((lane) => Array.from(lane.by[category].index, (index) => (
      { kind: 'event', lane, index, at: lane.t[index] })));
    const next = following(all);
    if (next) reveal(next.at, next.lane);
  };
  const nextViolation = () => {
    const next = following(violations.map((violation) => (
      { kind: 'violation', violation, lane: violation.lane, at: violation.at })));
    if (next) reveal(next.at, next.lane);
  };
  const neighbour = (by) => {
    if (!selected || selected.kind !== 'event') return;
    const { lane } = selected;
    for (let i = selected.index + by; i >= 0 && i < lane.t.length; i += by) {
      if (!shown(lane, lane.category[i])) continue;
      select({ kind: 'event', lane, index: i, at: lane.t[i] });
      return reveal(lane.t[i], lane);
    }
  };

  const query = byId('query');
  query.addEventListener('input', () => search(query.value));
  query.addEventListener('keydown', (event) => {
    event.stopPropagation();
    if (event.key === 'Enter') go(event.shiftKey ? -1 : 1);
    if (event.key === 'Escape') {
      query.value = '';
      search('');
      lanesCanvas.focus();
    }
  });
  byId('next').onclick = () => go(1);
  byId('previous').onclick = () => go(-1);
  byId('in').onclick = () => zoom(0.6);
  byId('out').onclick = () => zoom(1 / 0.6);
  byId('fit').onclick = () => look(...WHOLE);
  byId('failover').onclick = nextFailover;
  byId('fault').onclick = nextFault;
  byId('help').onclick = () => byId('keys').showModal();
  byId('close').onclick = () => select(null);
  const KEYS = {
    '+': () => zoom(0.6), '=': () => zoom(0.6), '-': () => zoom(1 / 0.6), 0: () => look(...WHOLE),
    ArrowLeft: () => pan(-0.15), ArrowRight: () => pan(0.15),
    ArrowUp: () => { scrollTo(scroll - 60); redraw(); }, ArrowDown: () => { scrollTo(scroll + 60); redraw(); },
    PageUp: () => { scrollTo(scroll - height * 0.8); redraw(); }, PageDown: () => { scrollTo(scroll + height * 0.8); redraw(); },
    Home: () => look(WHOLE[0], WHOLE[0] + view[1] - view[0]), End: () => look(WHOLE[1] - view[1] + view[0], WHOLE[1]),
    '/': () => { query.focus(); query.select(); }, n: () => go(1), N: () => go(-1), f: nextFailover, x: nextFault,
    v: nextViolation, '[': () => neighbour(-1), ']': () => neighbour(1), '?': () => byId('keys').showModal(),
    Escape: () => { if (selected) select(null); else if (query.value) { query.value = ''; search(''); } },
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || byId('keys').open) return;
    const action = Object.hasOwn(KEYS, event.key) && KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // ---- The head, the legend, the address ------------------------------------------------------------------------

  const head = () => {
    document.querySelector('h1').textContent = data.title;
    const verdict = byId('verdict');
    verdict.textContent = violations.length ? '✗ failed' : '✓ no rule broken';
    verdict.className = violations.length ? 'bad' : 'good';
    byId('head').append(...list(data.head).children);
    for (const violation of violations) {
      const button = element('button', `${violation.rule}, at ${clock(violation.at, 6)} on ${violation.host}: ${violation.what}`);
      button.title = 'Show it';
      button.onclick = () => {
        select({ kind: 'violation', violation, lane: violation.lane, at: violation.at });
        look(violation.at - 1e6, violation.at + 1e6);
        reveal(violation.at, violation.lane);
      };
      byId('broken').append(button);
    }
    if (data.missing.length) {
      byId('missing').hidden = false;
      const summary = data.missing.length === 1 ? data.missing[0] : `Not everything was kept: ${data.missing[0]}, and more`;
      byId('missing').querySelector('summary').textContent = summary;
      byId('missing').querySelector('ul').append(...data.missing.map((text) => element('li', text)));
    }
  };
  const swatch = (paint) => {
    const icon = document.createElement('canvas'), ratio = window.devicePixelRatio || 1;
    icon.width = icon.height = 14 * ratio;
    icon.style.width = icon.style.height = '14px';
    const context = icon.getContext('2d');
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint(context);
    return icon;
  };
  const legend = () => {
    const box = byId('legend');
    box.replaceChildren();
    const toggle = (title, icon, on, flip) => {
      const button = element('button');
      button.setAttribute('aria-pressed', String(on()));
      button.title = 'Hide or show';
      button.append(icon, title);
      button.onclick = () => {
        flip();
        button.setAttribute('aria-pressed', String(on()));
        redraw();
      };
      box.append(button);
    };
    const present = new Set();
    for (const lane of lanes) lane.by.forEach((of, category) => { if (of.t.length) present.add(data.categories[category]); });
    for (const name of data.categories) {
      if (!present.has(name)) continue;
      const flip = () => { if (!hidden.delete(name)) hidden.add(name); };
      toggle(LOOKS[name].title, swatch((context) => glyph(context, name, 7, 7)), () => !hidden.has(name), flip);
    }
    if (messages.t.length) {
      const icon = swatch((context) => {
        context.strokeStyle = context.fillStyle = colors.message;
        context.beginPath(); context.moveTo(3, 2); context.lineTo(10, 11); context.stroke();
        context.beginPath(); context.moveTo(11, 13); context.lineTo(6.5, 10); context.lineTo(10, 7.5); context.fill();
      });
      toggle('messages', icon, () => showMessages, () => { showMessages = !showMessages; });
    }
    const spanKey = (title, paint) => {
      const made = element('span');
      made.append(swatch(paint), title);
      box.append(made);
    };
    const block = (fill, ink) => (context) => {
      context.fillStyle = colors[fill]; context.fillRect(1, 3, 12, 9);
      context.fillStyle = colors[ink]; context.fillRect(1, 3, 2, 9);
    };
    const kinds = new Set(lanes.flatMap((lane) => lane.spans.map((span) => span.kind)));
    if (kinds.has('failover')) spanKey('failover', block('failover-fill', 'failover'));
    if (kinds.has('pull')) spanKey('first pull', block('pull-fill', 'pull'));
    if (['down', 'dark', 'cut'].some((kind) => kinds.has(kind))) spanKey('down, cut', block('fault-fill', 'fault'));
    if (['paused', 'held', 'stopping'].some((kind) => kinds.has(kind))) spanKey('paused, held', block('held-fill', 'held'));
    if (lanes.some((lane) => lane.host.viewer)) {
      spanKey('buffer', (context) => {
        context.fillStyle = colors['buffer-fill']; context.fillRect(1, 4, 12, 9);
        context.fillStyle = colors.buffer; context.fillRect(1, 3, 12, 2);
      });
    }
    if (lanes.some((lane) => lane.host.viewer && lane.host.viewer.stalls.length)) {
      spanKey('stall', (context) => { context.fillStyle = colors.stall; context.fillRect(1, 8, 12, 4); });
    }
    if (lanes.some((lane) => lane.gaps && lane.gaps.length)) {
      spanKey('nothing arrives', (context) => { context.fillStyle = colors.gap; context.fillRect(1, 6, 12, 2); });
    }
  };
  /** What is looked at is in the address, so that it can be handed on. */
  let remembering = 0;
  const remember = () => {
    clearTimeout(remembering);
    remembering = setTimeout(() => {
      const state = new URLSearchParams({ from: (view[0] / 1e6).toFixed(6), to: (view[1] / 1e6).toFixed(6) });
      if (query.value) state.set('q', query.value);
      try {
        history.replaceState(null, '', `#${state}`);
      } catch {
        // A browser may forbid it for files; then the address stays as it is.
      }
    }, 300);
  };
  const recall = () => {
    const state = new URLSearchParams(location.hash.slice(1));
    const from = parseFloat(state.get('from')), to = parseFloat(state.get('to'));
    if (Number.isFinite(from) && Number.isFinite(to) && to > from) look(from * 1e6, to * 1e6);
    if (state.get('q')) {
      query.value = state.get('q');
      search(query.value, true);
    }
  };

  readColors();
  head();
  legend();
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    readColors();
    legend();
    paintOverview();
    redraw();
  });
  new ResizeObserver(resize).observe(stage);
  resize();
  recall();
})();
