// What `onProgress` hears of the files of a model: what it would from transformers.js.

/** A function that hears of one file after another, `(file, loaded, total, isDone)`, and tells `callback`. */
export function progress(callback, name) {
  const files = {};
  return (file, loaded, total, isDone) => {
    if (!files[file]) {
      callback({ status: 'initiate', name, file });
      callback({ status: 'download', name, file });
    }
    files[file] = { loaded, total };
    callback({ status: 'progress', name, file, progress: percent(loaded, total), loaded, total });
    const sum = (key) => Object.values(files).reduce((sum, file) => sum + file[key], 0);
    const all = { loaded: sum('loaded'), total: sum('total') };
    callback({ status: 'progress_total', name, progress: percent(all.loaded, all.total), ...all, files: { ...files } });
    if (isDone) callback({ status: 'done', name, file });
  };
}

function percent(loaded, total) {
  return total > 0 ? (100 * loaded) / total : 100;
}
