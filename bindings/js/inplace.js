// The package in one graph of modules, for service workers, where import() is not allowed.

import { later } from './host.js';
import * as service from './local.js';
import * as profile from './profile.js';

later.service = async () => service;
later.profile = async () => profile;

export * from './index.js';
