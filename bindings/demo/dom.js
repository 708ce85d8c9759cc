// What a page without a framework needs of one.

export const $ = (id) => document.getElementById(id);

/** An element with attributes and children; attributes that are undefined or false are left out. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same, of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children);
  return node;
}

/** Sets custom properties of CSS, which the page's policy allows from scripts only. */
export function style(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
  return node;
}

/**
 * Calls `work` with the newest argument: while a call runs, later ones wait, and of these only the last will run. So
 * a slow machine skips texts instead of lagging behind the keys.
 */
export function newest(work) {
  let next;
  let isRunning = false;
  return async (argument) => {
    next = { argument };
    if (isRunning) return;
    isRunning = true;
    try {
      while (next) {
        const { argument } = next;
        next = undefined;
        await work(argument);
      }
    } finally {
      isRunning = false;
    }
  };
}

/** Calls `work` with the last argument when none has come for so many milliseconds. */
export function idle(milliseconds, work) {
  let timer;
  return (argument) => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds, argument);
  };
}

/** What is dropped on `node` goes to `take`, as the DataTransfer it is. */
export function onDrop(node, take) {
  let depth = 0; // of children under the pointer
  const carriesFiles = (event) => event.dataTransfer?.types.includes('Files');
  const over = (change) => {
    depth = change === 0 ? 0 : depth + change;
    node.classList.toggle('over', depth > 0);
  };
  node.addEventListener('dragenter', (event) => carriesFiles(event) && over(1));
  node.addEventListener('dragleave', (event) => carriesFiles(event) && over(-1));
  node.addEventListener('dragover', (event) => carriesFiles(event) && event.preventDefault());
  node.addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    over(0);
    take(event.dataTransfer);
  });
}

const whole = new Intl.NumberFormat('en');

/** `12,345` */
export const count = (number) => whole.format(number);

/** `1 text`, `2 texts` */
export const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? '' : 's'}`;

/** `97.1 %` */
export const percent = (score) => `${(100 * score).toFixed(1)}\u00a0%`;

/** `1.4 MB` */
export function bytes(number) {
  const [size, unit] = number < 1e3 ? [number, 'bytes'] : number < 1e6 ? [number / 1e3, 'KB'] : [number / 1e6, 'MB'];
  return `${size < 10 && unit !== 'bytes' ? size.toFixed(1) : Math.round(size)}\u00a0${unit}`;
}

/** `3.2 ms`, `1.5 s` */
export function duration(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)}\u00a0s`;
  const digits = milliseconds < 0.1 ? 3 : milliseconds < 1 ? 2 : milliseconds < 100 ? 1 : 0;
  return `${milliseconds.toFixed(digits)}\u00a0ms`;
}
