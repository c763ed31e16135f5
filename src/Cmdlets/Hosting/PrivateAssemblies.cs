using System.Management.Automation;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;

namespace Hypervisor.Cmdlets.Hosting;

/// <summary>
/// Keeps what the engine needs of others out of PowerShell's own load context, where another module may have loaded another version
/// of it. The software processor and the decoder under it, and SQLite's binding, lie in <c>lib/private</c> and are loaded into a context of
/// their own; the types that users see (engine and cmdlets) stay where every script finds them.
/// </summary>
public sealed class PrivateAssemblies : IModuleAssemblyInitializer
{
    private static readonly string Folder = Path.Combine(Path.GetDirectoryName(typeof(PrivateAssemblies).Assembly.Location) ?? ".", "private");
    private static readonly Lazy<PrivateContext> Context = new(static () => new PrivateContext());
    private static int _registered;

    /// <inheritdoc/>
    public void OnImport()
    {
        if (Directory.Exists(Folder) && Interlocked.Exchange(ref _registered, 1) == 0)
        {
            AssemblyLoadContext.Default.Resolving += static (_, name) => Context.Value.Find(name);
        }
    }

    private sealed class PrivateContext() : AssemblyLoadContext("Hypervisor")
    {
        // Only these are asked for from outside; whatever they need in turn is found here first.
        public Assembly? Find(AssemblyName name) =>
            name.Name is "Hypervisor.Engine.Processor" or "Microsoft.Data.Sqlite" ? Load(name) : null;

        protected override Assembly? Load(AssemblyName assemblyName)
        {
            string path = Path.Combine(Folder, assemblyName.Name + ".dll");
            return File.Exists(path) ? Assemblies.FirstOrDefault(known => known.GetName().Name == assemblyName.Name) ?? LoadFromAssemblyPath(path) : null;
        }

        protected override nint LoadUnmanagedDll(string unmanagedDllName)
        {
            foreach (string file in (string[])[$"lib{unmanagedDllName}.so", $"{unmanagedDllName}.dll", $"lib{unmanagedDllName}.dylib"])
            {
                string path = Path.Combine(Folder, "runtimes", Runtime, "native", file);
                if (File.Exists(path))
                {
                    return LoadUnmanagedDllFromPath(path);
                }
            }

            return 0;
        }

        // The runtime's own name tells the C library (linux-musl-x64 is not linux-x64), but also a distribution where it was built for one.
        private static string Runtime
        {
            get
            {
                string architecture = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? "arm64" : "x64";
                return OperatingSystem.IsWindows() ? $"win-{architecture}"
                    : OperatingSystem.IsMacOS() ? $"osx-{architecture}"
                    : RuntimeInformation.RuntimeIdentifier.Contains("musl", StringComparison.Ordinal) || RuntimeInformation.RuntimeIdentifier.StartsWith("alpine", StringComparison.Ordinal) ? $"linux-musl-{architecture}"
                    : $"linux-{architecture}";
            }
        }
    }
}
