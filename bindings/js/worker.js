// The worker's end of the wire; host.js has the other one.
//
// In come `[call, method, arguments, whether to report]`, out go `[call, report]` and `[call, , { result or error }]`.

import { FourlaneError } from './errors.js';
import * as service from './service.js';
import { nodeModule } from './where.js';

function serve(post) {
  post([0]); // for whoever waits for the start
  return async ([call, method, args, reports]) => {
    try {
      const report = reports ? (...report) => post([call, report]) : undefined;
      post([call, undefined, { result: await service[method](...args, report) }]);
    } catch (error) {
      // The clone of an error keeps its class, if that is one of the language, and loses its code.
      post([call, undefined, { error, code: error instanceof FourlaneError && error.code }]);
    }
  };
}

if (typeof postMessage === 'function') {
  const receive = serve((message) => postMessage(message));
  onmessage = ({ data }) => receive(data);
} else {
  nodeModule('worker_threads').then(({ parentPort: port }) => {
    port.on('message', serve((message) => port.postMessage(message)));
  });
}
