// Generated from the commands by tree.test.ts: npx vitest run --project unit packages/cli/src/tree.test.ts -u
import type { Node } from "../tree.ts";

export const tree: Node = {
 "name": "decnet",
 "description": "Change decoy services on live deckies.",
 "args": [],
 "options": [
  {
   "names": [
    "--version"
   ],
   "hasValue": false,
   "description": "this program's version"
  },
  {
   "names": [
    "--context"
   ],
   "hasValue": true,
   "description": "the master to talk to, by its name in the contexts file"
  },
  {
   "names": [
    "--address"
   ],
   "hasValue": true,
   "description": "where the master is, instead of a context's address"
  },
  {
   "names": [
    "--token"
   ],
   "hasValue": true,
   "description": "bearer token; DECNET_TOKEN is better, arguments are visible to others"
  },
  {
   "names": [
    "--token-file"
   ],
   "hasValue": true,
   "description": "where the token is"
  },
  {
   "names": [
    "--ca"
   ],
   "hasValue": true,
   "description": "the certificate authority of an https:// master, PEM; instead of a context's"
  },
  {
   "names": [
    "--insecure"
   ],
   "hasValue": false,
   "description": "let the token go over http:// to another machine"
  },
  {
   "names": [
    "--output",
    "-o"
   ],
   "hasValue": true,
   "description": "table, wide, json, jsonl, yaml or name"
  },
  {
   "names": [
    "--json"
   ],
   "hasValue": false,
   "description": "the same as -o json"
  },
  {
   "names": [
    "--quiet",
    "-q"
   ],
   "hasValue": false,
   "description": "no plan and no progress, only results and failures"
  },
  {
   "names": [
    "--verbose",
    "-v"
   ],
   "hasValue": false,
   "description": "every step, every cause, every call"
  },
  {
   "names": [
    "--no-color"
   ],
   "hasValue": false,
   "description": "no colours; NO_COLOR and TERM=dumb do the same"
  }
 ],
 "commands": [
  {
   "name": "up",
   "description": "Set this machine up, start a master and deploy the example fleet.",
   "args": [],
   "options": [],
   "commands": []
  },
  {
   "name": "down",
   "description": "Stop this machine's master; its deckies keep running.",
   "args": [],
   "options": [],
   "commands": []
  },
  {
   "name": "status",
   "description": "What needs attention, on one screen.",
   "args": [],
   "options": [
    {
     "names": [
      "--watch"
     ],
     "hasValue": false,
     "description": "again every two seconds, until Ctrl-C"
    }
   ],
   "commands": []
  },
  {
   "name": "decky",
   "description": "Deckies, their revisions and their logs.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "list",
     "description": "All deckies, each with the state that was seen.",
     "args": [],
     "options": [
      {
       "names": [
        "--select"
       ],
       "hasValue": true,
       "description": "for instance state!=running,service=ssh,name=web-*"
      }
     ],
     "commands": []
    },
    {
     "name": "get",
     "description": "One decky in full.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "logs",
     "description": "What the services of a decky wrote.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      },
      {
       "name": "service",
       "usage": "[service]"
      }
     ],
     "options": [
      {
       "names": [
        "--follow",
        "-f"
       ],
       "hasValue": false,
       "description": "go on"
      },
      {
       "names": [
        "--tail"
       ],
       "hasValue": true,
       "description": "lines from the end, per service (100; with --since 10000)"
      },
      {
       "names": [
        "--since"
       ],
       "hasValue": true,
       "description": "only what was written since then, such as 10m"
      }
     ],
     "commands": []
    },
    {
     "name": "revisions",
     "description": "What was asked for, newest first.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--diff"
       ],
       "hasValue": true,
       "description": "compare two: r41..r43"
      }
     ],
     "commands": []
    },
    {
     "name": "restore",
     "description": "Restore an old revision, as a new one; without a number the one before that differs and did not fail.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      },
      {
       "name": "revision",
       "usage": "[revision]"
      }
     ],
     "options": [
      {
       "names": [
        "--service"
       ],
       "hasValue": true,
       "description": "only this service"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "rotate",
     "description": "Let its services become others now, as its rotation would.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "teardown",
     "description": "Remove a decky and everything that belongs to it.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    }
   ]
  },
  {
   "name": "service",
   "description": "Change one service of one decky.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "add",
     "description": "Add a service; nothing else is touched.",
     "args": [
      {
       "name": "decky",
       "usage": "<decky>"
      },
      {
       "name": "slug",
       "usage": "<slug>"
      },
      {
       "name": "settings",
       "usage": "[settings...]"
      }
     ],
     "options": [
      {
       "names": [
        "--file",
        "-f"
       ],
       "hasValue": true,
       "description": "settings from a YAML file, - for standard input"
      },
      {
       "names": [
        "--ignore-unknown"
       ],
       "hasValue": false,
       "description": "leave out settings that the service does not have, instead of refusing them"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "remove",
     "description": "Remove a service and its settings.",
     "args": [
      {
       "name": "decky",
       "usage": "<decky>"
      },
      {
       "name": "slug",
       "usage": "<slug>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "set",
     "description": "Change some settings; the others stay.",
     "args": [
      {
       "name": "decky",
       "usage": "<decky>"
      },
      {
       "name": "slug",
       "usage": "<slug>"
      },
      {
       "name": "settings",
       "usage": "[settings...]"
      }
     ],
     "options": [
      {
       "names": [
        "--ignore-unknown"
       ],
       "hasValue": false,
       "description": "leave out settings that the service does not have, instead of refusing them"
      },
      {
       "names": [
        "--file",
        "-f"
       ],
       "hasValue": true,
       "description": "settings from a YAML file, - for standard input"
      },
      {
       "names": [
        "--save"
       ],
       "hasValue": false,
       "description": "store only; the running container keeps its settings"
      },
      {
       "names": [
        "--clear-secret"
       ],
       "hasValue": true,
       "description": "forget a secret; repeatable"
      },
      {
       "names": [
        "--apply-staged"
       ],
       "hasValue": false,
       "description": "apply saved settings"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "replace",
     "description": "Change all settings; secrets that are not named stay.",
     "args": [
      {
       "name": "decky",
       "usage": "<decky>"
      },
      {
       "name": "slug",
       "usage": "<slug>"
      },
      {
       "name": "settings",
       "usage": "[settings...]"
      }
     ],
     "options": [
      {
       "names": [
        "--ignore-unknown"
       ],
       "hasValue": false,
       "description": "leave out settings that the service does not have, instead of refusing them"
      },
      {
       "names": [
        "--file",
        "-f"
       ],
       "hasValue": true,
       "description": "settings from a YAML file, - for standard input"
      },
      {
       "names": [
        "--save"
       ],
       "hasValue": false,
       "description": "store only; the running container keeps its settings"
      },
      {
       "names": [
        "--clear-secret"
       ],
       "hasValue": true,
       "description": "forget a secret; repeatable"
      },
      {
       "names": [
        "--apply-staged"
       ],
       "hasValue": false,
       "description": "apply saved settings"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "get",
     "description": "One service with its settings; secrets are only named.",
     "args": [
      {
       "name": "decky",
       "usage": "<decky>"
      },
      {
       "name": "slug",
       "usage": "<slug>"
      }
     ],
     "options": [],
     "commands": []
    }
   ]
  },
  {
   "name": "batch",
   "description": "One change on many deckies (add, remove, set, replace), or many changes from a file.",
   "args": [
    {
     "name": "action",
     "usage": "[action]"
    },
    {
     "name": "slug",
     "usage": "[slug]"
    },
    {
     "name": "settings",
     "usage": "[settings...]"
    }
   ],
   "options": [
    {
     "names": [
      "--ignore-unknown"
     ],
     "hasValue": false,
     "description": "leave out settings that the service does not have, instead of refusing them"
    },
    {
     "names": [
      "--select"
     ],
     "hasValue": true,
     "description": "the deckies, for instance host=edge-03,service=ftp"
    },
    {
     "names": [
      "--file",
      "-f"
     ],
     "hasValue": true,
     "description": "changes from a YAML file, - for standard input"
    },
    {
     "names": [
      "--max-failures"
     ],
     "hasValue": true,
     "description": "start no more after this many failures"
    },
    {
     "names": [
      "--parallel"
     ],
     "hasValue": true,
     "description": "changes at the same time (16)"
    },
    {
     "names": [
      "--yes",
      "-y"
     ],
     "hasValue": false,
     "description": "do not ask; never covers named risks"
    },
    {
     "names": [
      "--accept"
     ],
     "hasValue": true,
     "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
    },
    {
     "names": [
      "--plan"
     ],
     "hasValue": false,
     "description": "only show the plan"
    },
    {
     "names": [
      "--dry-run"
     ],
     "hasValue": false,
     "description": "the same as --plan"
    },
    {
     "names": [
      "--exit-code"
     ],
     "hasValue": false,
     "description": "with --plan: exit 10 when there are changes"
    },
    {
     "names": [
      "--wait"
     ],
     "hasValue": true,
     "description": "applied (default), accepted, or a time such as 30s"
    },
    {
     "names": [
      "--wait-idle"
     ],
     "hasValue": true,
     "description": "wait this long for open sessions to end, instead of cutting them"
    },
    {
     "names": [
      "--expect"
     ],
     "hasValue": true,
     "description": "refuse unless the decky is at this revision"
    },
    {
     "names": [
      "--expect-plan"
     ],
     "hasValue": true,
     "description": "refuse unless the plan is this one"
    },
    {
     "names": [
      "--reason"
     ],
     "hasValue": true,
     "description": "kept with the operation"
    },
    {
     "names": [
      "--request-id"
     ],
     "hasValue": true,
     "description": "the same id again gives the same operation"
    },
    {
     "names": [
      "--on-failure"
     ],
     "hasValue": true,
     "description": "undo (default) or keep"
    },
    {
     "names": [
      "--when-away"
     ],
     "hasValue": true,
     "description": "queue (default) the change for a host that is away, or refuse it"
    }
   ],
   "commands": []
  },
  {
   "name": "fleet",
   "description": "The whole fleet as one file.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "apply",
     "description": "Make the fleet what the file says; deckies that are not in it go.",
     "args": [],
     "options": [
      {
       "names": [
        "--ignore-unknown"
       ],
       "hasValue": false,
       "description": "leave out settings that the service does not have, instead of refusing them"
      },
      {
       "names": [
        "--file",
        "-f"
       ],
       "hasValue": true,
       "description": "fleet file, YAML; - for standard input"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "plan",
     "description": "What apply would do.",
     "args": [],
     "options": [
      {
       "names": [
        "--ignore-unknown"
       ],
       "hasValue": false,
       "description": "leave out settings that the service does not have, instead of refusing them"
      },
      {
       "names": [
        "--file",
        "-f"
       ],
       "hasValue": true,
       "description": "fleet file, YAML; - for standard input"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "export",
     "description": "The fleet as it is wanted now, as a fleet file without secrets; applied again it changes nothing.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "teardown",
     "description": "Remove every decky of the fleet.",
     "args": [],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    }
   ]
  },
  {
   "name": "topology",
   "description": "Nested decoy networks.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "create",
     "description": "A topology with a DMZ and a gateway on it, to be designed further.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--host"
       ],
       "hasValue": true,
       "description": "where its deckies will live (local)"
      },
      {
       "names": [
        "--publish-on"
       ],
       "hasValue": true,
       "description": "an address of the host that is for decoys: gateways in the DMZ publish their ports there"
      },
      {
       "names": [
        "--empty"
       ],
       "hasValue": false,
       "description": "with no LAN and no decky"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "generate",
     "description": "A topology that is drawn from a seed: the same settings make the same design.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--host"
       ],
       "hasValue": true,
       "description": "where its deckies will live (local)"
      },
      {
       "names": [
        "--publish-on"
       ],
       "hasValue": true,
       "description": "an address of the host that is for decoys: gateways in the DMZ publish their ports there"
      },
      {
       "names": [
        "--seed"
       ],
       "hasValue": true,
       "description": "another seed, another design (0)"
      },
      {
       "names": [
        "--lans"
       ],
       "hasValue": true,
       "description": "exactly so many LANs, the DMZ among them"
      },
      {
       "names": [
        "--deckies"
       ],
       "hasValue": true,
       "description": "exactly so many deckies"
      },
      {
       "names": [
        "--depth"
       ],
       "hasValue": true,
       "description": "levels of LANs behind the DMZ (2)"
      },
      {
       "names": [
        "--branching"
       ],
       "hasValue": true,
       "description": "most LANs that one leads to (2)"
      },
      {
       "names": [
        "--services"
       ],
       "hasValue": true,
       "description": "services of every decky, such as ssh,http; otherwise drawn from the catalog"
      },
      {
       "names": [
        "--subnet-base"
       ],
       "hasValue": true,
       "description": "what the /24 networks of the LANs are taken from (172.16.0.0/12)"
      },
      {
       "names": [
        "--forward-probability"
       ],
       "hasValue": true,
       "description": "how likely a decky between two LANs routes between them (1)"
      },
      {
       "names": [
        "--cross-edge-probability"
       ],
       "hasValue": true,
       "description": "how likely a LAN gets a second way in (0)"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "import",
     "description": "A topology from a file, whole or not at all.",
     "args": [],
     "options": [
      {
       "names": [
        "--ignore-unknown"
       ],
       "hasValue": false,
       "description": "leave out settings that the service does not have, instead of refusing them"
      },
      {
       "names": [
        "--file",
        "-f"
       ],
       "hasValue": true,
       "description": "topology file, YAML; - for standard input"
      },
      {
       "names": [
        "--name"
       ],
       "hasValue": true,
       "description": "another name than the file's"
      },
      {
       "names": [
        "--host"
       ],
       "hasValue": true,
       "description": "another host than the file's"
      },
      {
       "names": [
        "--publish-on"
       ],
       "hasValue": true,
       "description": "another address of the host for its gateways than the file's"
      },
      {
       "names": [
        "--renumber"
       ],
       "hasValue": false,
       "description": "with networks and addresses of its own, beside the topology that the file came from"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "list",
     "description": "All topologies, each with its state.",
     "args": [],
     "options": [
      {
       "names": [
        "--select"
       ],
       "hasValue": true,
       "description": "for instance state=active,host=edge-03,name=corp-*"
      }
     ],
     "commands": []
    },
    {
     "name": "show",
     "description": "One topology in full.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--format"
       ],
       "hasValue": true,
       "description": "table, tree (LANs inside each other), mermaid, dot or json"
      }
     ],
     "commands": []
    },
    {
     "name": "validate",
     "description": "What is wrong with the design; exit code 4 when it cannot be deployed.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "plan",
     "description": "What deploy would do, or resync once it is deployed.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "deploy",
     "description": "Deploy every decky of the design.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "resync",
     "description": "Make a live topology what its design says again.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "teardown",
     "description": "Remove every decky and network of it; its design stays.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "delete",
     "description": "Forget a topology that is not deployed, with its design.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "export",
     "description": "The design as a file without secrets; imported it makes the same topology.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "lan",
     "description": "LANs of a topology, as corp/dmz.",
     "args": [],
     "options": [],
     "commands": [
      {
       "name": "add",
       "description": "Add a LAN.",
       "args": [
        {
         "name": "lan",
         "usage": "<lan>"
        }
       ],
       "options": [
        {
         "names": [
          "--subnet"
         ],
         "hasValue": true,
         "description": "its network (the next free /24)"
        },
        {
         "names": [
          "--dmz"
         ],
         "hasValue": false,
         "description": "the one LAN that is not cut off from outside"
        },
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      },
      {
       "name": "update",
       "description": "Change a LAN of a topology that is not deployed; whoever is there gets a new address in a new network.",
       "args": [
        {
         "name": "lan",
         "usage": "<lan>"
        }
       ],
       "options": [
        {
         "names": [
          "--rename"
         ],
         "hasValue": true,
         "description": "another name"
        },
        {
         "names": [
          "--subnet"
         ],
         "hasValue": true,
         "description": "another network"
        },
        {
         "names": [
          "--dmz"
         ],
         "hasValue": false,
         "description": "let it be the DMZ"
        },
        {
         "names": [
          "--no-dmz"
         ],
         "hasValue": false,
         "description": "let it not be the DMZ"
        },
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      },
      {
       "name": "remove",
       "description": "Remove a LAN that is nobody's home; whoever is there is detached.",
       "args": [
        {
         "name": "lan",
         "usage": "<lan>"
        }
       ],
       "options": [
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      }
     ]
    },
    {
     "name": "decky",
     "description": "Deckies of a topology, as corp/web-01.",
     "args": [],
     "options": [],
     "commands": [
      {
       "name": "add",
       "description": "Add a decky.",
       "args": [
        {
         "name": "decky",
         "usage": "<decky>"
        }
       ],
       "options": [
        {
         "names": [
          "--lan"
         ],
         "hasValue": true,
         "description": "a LAN that it is on, the first is its home; LAN=ADDRESS for an address of its own; repeatable"
        },
        {
         "names": [
          "--archetype"
         ],
         "hasValue": true,
         "description": "a ready-made set of services: decnet catalog archetypes"
        },
        {
         "names": [
          "--services"
         ],
         "hasValue": true,
         "description": "its services, such as ssh,http"
        },
        {
         "names": [
          "--forwards"
         ],
         "hasValue": false,
         "description": "it routes between its LANs; in the DMZ it is a gateway"
        },
        {
         "names": [
          "--egress"
         ],
         "hasValue": true,
         "description": "what it may call, such as 198.51.100.0/24=tcp/443; repeatable"
        },
        {
         "names": [
          "--rotate"
         ],
         "hasValue": true,
         "description": "its services change by themselves, once it is deployed, every so often: 6h"
        },
        {
         "names": [
          "--rotate-among"
         ],
         "hasValue": true,
         "description": "to these; otherwise to those of its archetype"
        },
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      },
      {
       "name": "update",
       "description": "Change a decky; its services one by one once it is deployed: decnet service.",
       "args": [
        {
         "name": "decky",
         "usage": "<decky>"
        }
       ],
       "options": [
        {
         "names": [
          "--archetype"
         ],
         "hasValue": true,
         "description": "another archetype"
        },
        {
         "names": [
          "--services"
         ],
         "hasValue": true,
         "description": "other services, while it is not deployed"
        },
        {
         "names": [
          "--forwards"
         ],
         "hasValue": false,
         "description": "let it route between its LANs"
        },
        {
         "names": [
          "--no-forwards"
         ],
         "hasValue": false,
         "description": "let it not route between its LANs"
        },
        {
         "names": [
          "--egress"
         ],
         "hasValue": true,
         "description": "what it may call instead of what it might before; repeatable"
        },
        {
         "names": [
          "--no-egress"
         ],
         "hasValue": false,
         "description": "let it call nobody"
        },
        {
         "names": [
          "--rotate"
         ],
         "hasValue": true,
         "description": "let its services change by themselves every so often: 6h; 0 for not any more"
        },
        {
         "names": [
          "--rotate-among"
         ],
         "hasValue": true,
         "description": "to these; otherwise to those of its archetype"
        },
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      },
      {
       "name": "remove",
       "description": "Remove a decky and everything that belongs to it.",
       "args": [
        {
         "name": "decky",
         "usage": "<decky>"
        }
       ],
       "options": [
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      },
      {
       "name": "attach",
       "description": "Put a decky on one more LAN; LAN=ADDRESS for an address of its own.",
       "args": [
        {
         "name": "decky",
         "usage": "<decky>"
        },
        {
         "name": "lan",
         "usage": "<lan>"
        }
       ],
       "options": [
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      },
      {
       "name": "detach",
       "description": "Take a decky off a LAN that is not its home.",
       "args": [
        {
         "name": "decky",
         "usage": "<decky>"
        },
        {
         "name": "lan",
         "usage": "<lan>"
        }
       ],
       "options": [
        {
         "names": [
          "--yes",
          "-y"
         ],
         "hasValue": false,
         "description": "do not ask; never covers named risks"
        },
        {
         "names": [
          "--accept"
         ],
         "hasValue": true,
         "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
        },
        {
         "names": [
          "--plan"
         ],
         "hasValue": false,
         "description": "only show the plan"
        },
        {
         "names": [
          "--dry-run"
         ],
         "hasValue": false,
         "description": "the same as --plan"
        },
        {
         "names": [
          "--exit-code"
         ],
         "hasValue": false,
         "description": "with --plan: exit 10 when there are changes"
        },
        {
         "names": [
          "--wait"
         ],
         "hasValue": true,
         "description": "applied (default), accepted, or a time such as 30s"
        },
        {
         "names": [
          "--wait-idle"
         ],
         "hasValue": true,
         "description": "wait this long for open sessions to end, instead of cutting them"
        },
        {
         "names": [
          "--expect"
         ],
         "hasValue": true,
         "description": "refuse unless the decky is at this revision"
        },
        {
         "names": [
          "--expect-plan"
         ],
         "hasValue": true,
         "description": "refuse unless the plan is this one"
        },
        {
         "names": [
          "--reason"
         ],
         "hasValue": true,
         "description": "kept with the operation"
        },
        {
         "names": [
          "--request-id"
         ],
         "hasValue": true,
         "description": "the same id again gives the same operation"
        },
        {
         "names": [
          "--on-failure"
         ],
         "hasValue": true,
         "description": "undo (default) or keep"
        },
        {
         "names": [
          "--when-away"
         ],
         "hasValue": true,
         "description": "queue (default) the change for a host that is away, or refuse it"
        }
       ],
       "commands": []
      }
     ]
    }
   ]
  },
  {
   "name": "host",
   "description": "The machines that run deckies.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "invite",
     "description": "A single-use token that makes a machine a worker; waits until it has joined.",
     "args": [],
     "options": [
      {
       "names": [
        "--name"
       ],
       "hasValue": true,
       "description": "what the worker will be called"
      },
      {
       "names": [
        "--ttl"
       ],
       "hasValue": true,
       "description": "how long the token can be used"
      },
      {
       "names": [
        "--label"
       ],
       "hasValue": true,
       "description": "for placement; repeatable"
      },
      {
       "names": [
        "--master"
       ],
       "hasValue": true,
       "description": "where the worker reaches the master, if not at its own addresses; repeatable"
      },
      {
       "names": [
        "--no-wait"
       ],
       "hasValue": false,
       "description": "only print what to run"
      }
     ],
     "commands": []
    },
    {
     "name": "list",
     "description": "The master's own host and its workers, with the number of their deckies that run / do not.",
     "args": [],
     "options": [
      {
       "names": [
        "--select"
       ],
       "hasValue": true,
       "description": "for instance state=unreachable,label=site:north"
      }
     ],
     "commands": []
    },
    {
     "name": "get",
     "description": "One host in full; a master's own too, such as local.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "tokens",
     "description": "Join tokens, used and unused, without their secrets.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "revoke-token",
     "description": "End a join token; workers that joined with it stay.",
     "args": [
      {
       "name": "id",
       "usage": "<id>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "refused",
     "description": "Joins that were refused, newest first, with the reason.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "orphans",
     "description": "What decnet left on a host (local if none is named) that belongs to nothing there; --remove removes it.",
     "args": [
      {
       "name": "name",
       "usage": "[name]"
      }
     ],
     "options": [
      {
       "names": [
        "--remove"
       ],
       "hasValue": false,
       "description": "remove them, after the plan and a question"
      },
      {
       "names": [
        "--only"
       ],
       "hasValue": true,
       "description": "remove only this one: container/4f1c…, as --json lists it; repeatable"
      },
      {
       "names": [
        "--installation"
       ],
       "hasValue": true,
       "description": "everything of another installation, whose data is not on the host any more"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "drain",
     "description": "Move its deckies to the other workers; it gets no new ones.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    },
    {
     "name": "activate",
     "description": "Let a drained host get deckies again.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "decommission",
     "description": "Remove its deckies, then end its certificate and forget it.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--force"
       ],
       "hasValue": false,
       "description": "also when it is away: its deckies are forgotten, its containers stay there"
      },
      {
       "names": [
        "--yes",
        "-y"
       ],
       "hasValue": false,
       "description": "do not ask; never covers named risks"
      },
      {
       "names": [
        "--accept"
       ],
       "hasValue": true,
       "description": "accept a named risk: cut-sessions, restart-base, teardown=NAME, drain=NAME, decommission=NAME, installation=ID, count=N; repeatable"
      },
      {
       "names": [
        "--plan"
       ],
       "hasValue": false,
       "description": "only show the plan"
      },
      {
       "names": [
        "--dry-run"
       ],
       "hasValue": false,
       "description": "the same as --plan"
      },
      {
       "names": [
        "--exit-code"
       ],
       "hasValue": false,
       "description": "with --plan: exit 10 when there are changes"
      },
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), accepted, or a time such as 30s"
      },
      {
       "names": [
        "--wait-idle"
       ],
       "hasValue": true,
       "description": "wait this long for open sessions to end, instead of cutting them"
      },
      {
       "names": [
        "--expect"
       ],
       "hasValue": true,
       "description": "refuse unless the decky is at this revision"
      },
      {
       "names": [
        "--expect-plan"
       ],
       "hasValue": true,
       "description": "refuse unless the plan is this one"
      },
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation"
      },
      {
       "names": [
        "--on-failure"
       ],
       "hasValue": true,
       "description": "undo (default) or keep"
      },
      {
       "names": [
        "--when-away"
       ],
       "hasValue": true,
       "description": "queue (default) the change for a host that is away, or refuse it"
      }
     ],
     "commands": []
    }
   ]
  },
  {
   "name": "op",
   "description": "What was asked for, and how it went.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "list",
     "description": "Operations, newest first.",
     "args": [],
     "options": [
      {
       "names": [
        "--select"
       ],
       "hasValue": true,
       "description": "for instance decky=web-01,state=failed"
      }
     ],
     "commands": []
    },
    {
     "name": "get",
     "description": "One operation in full.",
     "args": [
      {
       "name": "id",
       "usage": "<id>"
      }
     ],
     "options": [
      {
       "names": [
        "--output-log"
       ],
       "hasValue": false,
       "description": "only the output of failed steps"
      },
      {
       "names": [
        "--receipt"
       ],
       "hasValue": false,
       "description": "only the receipt"
      }
     ],
     "commands": []
    },
    {
     "name": "watch",
     "description": "Replay the steps that are done, then follow to the end.",
     "args": [
      {
       "name": "id",
       "usage": "<id>"
      }
     ],
     "options": [
      {
       "names": [
        "--wait"
       ],
       "hasValue": true,
       "description": "applied (default), or a time such as 30s"
      }
     ],
     "commands": []
    },
    {
     "name": "cancel",
     "description": "Stop an operation and undo it.",
     "args": [
      {
       "name": "id",
       "usage": "<id>"
      }
     ],
     "options": [
      {
       "names": [
        "--reason"
       ],
       "hasValue": true,
       "description": "kept with the operation"
      },
      {
       "names": [
        "--request-id"
       ],
       "hasValue": true,
       "description": "the same id again gives the same operation, also when it has ended"
      }
     ],
     "commands": []
    }
   ]
  },
  {
   "name": "wait",
   "description": "Wait until deckies are in a state.",
   "args": [
    {
     "name": "deckies",
     "usage": "[deckies...]"
    }
   ],
   "options": [
    {
     "names": [
      "--select"
     ],
     "hasValue": true,
     "description": "the deckies, for instance host=edge-03,service=ftp"
    },
    {
     "names": [
      "--for"
     ],
     "hasValue": true,
     "description": "running, degraded, failed, unknown …, or gone"
    },
    {
     "names": [
      "--timeout"
     ],
     "hasValue": true,
     "description": "how long at most"
    }
   ],
   "commands": []
  },
  {
   "name": "events",
   "description": "Events, for instance 'decky.web-01.>'; without --follow those of the last hour.",
   "args": [
    {
     "name": "patterns",
     "usage": "[patterns...]"
    }
   ],
   "options": [
    {
     "names": [
      "--since"
     ],
     "hasValue": true,
     "description": "an age such as 1h, or the cursor of an event"
    },
    {
     "names": [
      "--follow",
      "-f"
     ],
     "hasValue": false,
     "description": "go on with what happens"
    }
   ],
   "commands": []
  },
  {
   "name": "webhook",
   "description": "Events, sent on to addresses by HTTP.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "add",
     "description": "Send events from now on; the secret that they are signed with is shown this once, on stdout.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      },
      {
       "name": "url",
       "usage": "<url>"
      },
      {
       "name": "patterns",
       "usage": "[patterns...]"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "list",
     "description": "All webhooks, and what is wrong with them.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "test",
     "description": "Send one message that is no event, now, and say what came of it.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "resume",
     "description": "Go on with one that was stopped, or that waits for its next attempt.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--from-now"
       ],
       "hasValue": false,
       "description": "leave out what happened meanwhile"
      }
     ],
     "commands": []
    },
    {
     "name": "remove",
     "description": "Send no more to it.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    }
   ]
  },
  {
   "name": "token",
   "description": "Who may talk to the master.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "create",
     "description": "Make a token; its secret is shown this once, on stdout.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--role"
       ],
       "hasValue": true,
       "description": "viewer reads, operator changes deckies, admin does everything"
      },
      {
       "names": [
        "--ttl"
       ],
       "hasValue": true,
       "description": "how long it is valid, such as 30d; without it for ever"
      }
     ],
     "commands": []
    },
    {
     "name": "list",
     "description": "All tokens, without their secrets.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "revoke",
     "description": "End a token at once; what was done with it stays on record.",
     "args": [
      {
       "name": "id",
       "usage": "<id>"
      }
     ],
     "options": [],
     "commands": []
    }
   ]
  },
  {
   "name": "backup",
   "description": "Write this machine's master, its database and its keys, to one encrypted file; it may run meanwhile.",
   "args": [
    {
     "name": "file",
     "usage": "<file>"
    }
   ],
   "options": [
    {
     "names": [
      "--passphrase-file"
     ],
     "hasValue": true,
     "description": "where the passphrase is; otherwise DECNET_BACKUP_PASSPHRASE, or it is asked for"
    }
   ],
   "commands": []
  },
  {
   "name": "restore",
   "description": "Put a backup into an empty data folder and an empty database, of either kind.",
   "args": [
    {
     "name": "file",
     "usage": "<file>"
    }
   ],
   "options": [
    {
     "names": [
      "--passphrase-file"
     ],
     "hasValue": true,
     "description": "where the passphrase is; otherwise DECNET_BACKUP_PASSPHRASE, or it is asked for"
    }
   ],
   "commands": []
  },
  {
   "name": "audit",
   "description": "Who called what, newest first, refusals included.",
   "args": [],
   "options": [
    {
     "names": [
      "--select"
     ],
     "hasValue": true,
     "description": "for instance actor=maria,outcome!=accepted; keys: actor, action, target, outcome"
    },
    {
     "names": [
      "--limit"
     ],
     "hasValue": true,
     "description": "the most entries"
    }
   ],
   "commands": []
  },
  {
   "name": "catalog",
   "description": "The decoy services on offer.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "list",
     "description": "Services that a decky can have.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "get",
     "description": "One service with its settings.",
     "args": [
      {
       "name": "slug",
       "usage": "<slug>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "archetypes",
     "description": "Ready-made sets of services.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "distros",
     "description": "What a decky can look like from inside.",
     "args": [],
     "options": [],
     "commands": []
    }
   ]
  },
  {
   "name": "context",
   "description": "Masters by name.",
   "args": [],
   "options": [],
   "commands": [
    {
     "name": "list",
     "description": "All contexts; * is the one in use.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "show",
     "description": "The context that commands use here, and why.",
     "args": [],
     "options": [],
     "commands": []
    },
    {
     "name": "env",
     "description": "Lines that bind one shell to a context: eval \"$(decnet context env prod)\".",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "use",
     "description": "The default of new shells.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    },
    {
     "name": "add",
     "description": "Remember a master; its address, token file and authority are the global flags.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [
      {
       "names": [
        "--fingerprint"
       ],
       "hasValue": true,
       "description": "trust the authority with this fingerprint, without a question"
      },
      {
       "names": [
        "--role"
       ],
       "hasValue": true,
       "description": "your role there; only shown to you"
      },
      {
       "names": [
        "--protected"
       ],
       "hasValue": false,
       "description": "every change needs the context's name"
      },
      {
       "names": [
        "--colour"
       ],
       "hasValue": true,
       "description": "of its name: red, green, yellow, blue, magenta, cyan, grey"
      },
      {
       "names": [
        "--confirm"
       ],
       "hasValue": true,
       "description": "always, risky, never"
      }
     ],
     "commands": []
    },
    {
     "name": "remove",
     "description": "Forget a master.",
     "args": [
      {
       "name": "name",
       "usage": "<name>"
      }
     ],
     "options": [],
     "commands": []
    }
   ]
  },
  {
   "name": "whoami",
   "description": "Who you are to the master.",
   "args": [],
   "options": [],
   "commands": []
  },
  {
   "name": "doctor",
   "description": "Check address, token, clock, versions and, on the master's machine, docker.",
   "args": [],
   "options": [],
   "commands": []
  },
  {
   "name": "completion",
   "description": "A script that completes commands, deckies and settings: bash, zsh or fish.",
   "args": [
    {
     "name": "shell",
     "usage": "<shell>"
    }
   ],
   "options": [],
   "commands": []
  },
  {
   "name": "version",
   "description": "This program's version, and the master's when it answers.",
   "args": [],
   "options": [],
   "commands": []
  }
 ]
};
