using System.Buffers.Binary;
using Hypervisor.Engine.Network;
using static Hypervisor.Engine.Devices.Virtio.VirtioNetLayout;

namespace Hypervisor.Engine.Devices.Virtio;

/// <content>The control queue (virtio 1.2, 5.1.6.5).</content>
public sealed partial class VirtioNet
{
    private const int CommandHeaderLength = 2;
    private const int MaximumCommand = 16 * 1024;
    private const int CommandsPerPass = 64;

    private readonly byte[] _command = new byte[MaximumCommand];

    private void ProcessControl()
    {
        var queue = Queues[ControlQueue];
        queue.DisableNotifications();
        int commands = 0;
        while (commands < CommandsPerPass && TryPop(queue, _controlChain))
        {
            commands++;
            if (_controlChain.ReadableBytes < CommandHeaderLength || _controlChain.WritableBytes < 1)
            {
                RejectRequest(queue, _controlChain, "a control command has no room for its header or its answer");
                break;
            }

            int length = _controlChain.Read(0, _command);
            byte answer = _controlChain.ReadableBytes <= MaximumCommand && TryControl(_command.AsSpan(0, length)) ? ControlOk : ControlError;
            _controlChain.Write(Memory, 0, [answer]);
            queue.Push(_controlChain, 1);
        }

        PublishAndSignal(queue);
        if (commands == CommandsPerPass || queue.EnableNotifications())
        {
            _worker.Wake();
        }
    }

    private bool TryControl(ReadOnlySpan<byte> command)
    {
        var data = command[CommandHeaderLength..];
        lock (_receiveLock)
        {
            switch (command[0], command[1])
            {
                case (ClassRx, RxPromiscuous) when data.Length == 1:
                    _filter.Promiscuous = data[0] != 0;
                    return true;
                case (ClassRx, RxAllMulticast) when data.Length == 1:
                    _filter.AllMulticast = data[0] != 0;
                    return true;
                case (ClassMac, MacTableSet):
                    return _filter.TrySetTable(data);
                case (ClassMac, MacAddressSet) when data.Length == MacAddress.Length:
                    _filter.Mac = MacAddress.Read(data);
                    StoreMac(_filter.Mac);
                    return true;
                case (ClassVlan, VlanAdd or VlanDelete) when data.Length == sizeof(ushort):
                    return _filter.TrySetVlan(BinaryPrimitives.ReadUInt16LittleEndian(data), command[1] == VlanAdd);
                default:
                    return false;
            }
        }
    }
}
